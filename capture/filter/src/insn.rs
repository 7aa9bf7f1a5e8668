//! Instructions of classic BPF (`linux/filter.h`) and programs of them.

use std::fmt;

/// Longest program the kernel takes (`BPF_MAXINSNS`).
pub const MAX_INSTRUCTIONS: usize = 4096;

/// Codes: class, size and mode, operation, source.
pub(crate) mod code {
    pub(crate) const LD_IMM: u16 = 0x00;
    pub(crate) const LDX_IMM: u16 = 0x01;
    pub(crate) const LDW_ABS: u16 = 0x20;
    pub(crate) const LDH_ABS: u16 = 0x28;
    pub(crate) const LDB_ABS: u16 = 0x30;
    pub(crate) const LDW_IND: u16 = 0x40;
    pub(crate) const LDH_IND: u16 = 0x48;
    pub(crate) const LDB_IND: u16 = 0x50;
    pub(crate) const LD_MEM: u16 = 0x60;
    pub(crate) const LDX_MEM: u16 = 0x61;
    pub(crate) const LD_LEN: u16 = 0x80;
    pub(crate) const LDX_LEN: u16 = 0x81;
    pub(crate) const LDX_MSH: u16 = 0xb1;
    pub(crate) const ST: u16 = 0x02;
    pub(crate) const STX: u16 = 0x03;
    pub(crate) const ADD_K: u16 = 0x04;
    pub(crate) const ADD_X: u16 = 0x0c;
    pub(crate) const AND_K: u16 = 0x54;
    pub(crate) const LSH_K: u16 = 0x64;
    pub(crate) const RSH_K: u16 = 0x74;
    pub(crate) const JA: u16 = 0x05;
    pub(crate) const JEQ_K: u16 = 0x15;
    pub(crate) const JGT_K: u16 = 0x25;
    pub(crate) const JGE_K: u16 = 0x35;
    pub(crate) const JSET_K: u16 = 0x45;
    pub(crate) const RET_K: u16 = 0x06;
    pub(crate) const RET_A: u16 = 0x16;
    pub(crate) const TAX: u16 = 0x07;
    pub(crate) const TXA: u16 = 0x87;
    /// The class of an instruction.
    pub(crate) const CLASS: u16 = 0x07;
    pub(crate) const ALU: u16 = 0x04;
    pub(crate) const JMP: u16 = 0x05;
    pub(crate) const RET: u16 = 0x06;
    /// The operand is X, not K.
    pub(crate) const X: u16 = 0x08;
}

/// Loads from here on are no packet bytes but what the kernel knows of the packet (`SKF_AD_OFF`).
pub(crate) const ANCILLARY: u32 = -0x1000i32 as u32;
/// `SKF_AD_PKTTYPE`.
pub(crate) const PACKET_TYPE: u32 = ANCILLARY + 4;
/// `PACKET_OUTGOING` (`linux/if_packet.h`).
pub(crate) const OUTGOING: u32 = 4;

/// One instruction: `struct sock_filter`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Instruction {
    /// What it does.
    pub code: u16,
    /// Instructions skipped when a comparison holds.
    pub jt: u8,
    /// Instructions skipped when it does not.
    pub jf: u8,
    /// Operand.
    pub k: u32,
}

impl Instruction {
    pub(crate) const fn new(code: u16, k: u32) -> Self {
        Self { code, jt: 0, jf: 0, k }
    }

    pub(crate) fn is_return(self) -> bool {
        self.code & code::CLASS == code::RET
    }
}

/// A program for the kernel: it answers how many bytes of a packet to keep, 0 being none of it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Program(pub(crate) Vec<Instruction>);

/// Why there is no program.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProgramError {
    /// Longer than the kernel takes. libpcap would filter in user space instead and say nothing.
    #[error("the filter needs {len} instructions, and the kernel takes {MAX_INSTRUCTIONS}")]
    TooLong {
        /// Instructions it would have.
        len: usize,
    },
    /// An instruction that jumps out of the program or that classic BPF does not have.
    #[error("instruction {at} of the filter is none of classic BPF")]
    Invalid {
        /// Its number, from 0.
        at: usize,
    },
}

impl Program {
    /// Keeps `snaplen` bytes of every packet. The kernel cuts packets only through a filter's answer, so that without
    /// one each takes its full length in the ring.
    pub fn everything(snaplen: u32) -> Self {
        Self(vec![Instruction::new(code::RET_K, snaplen)])
    }

    /// Keeps no packet.
    pub fn nothing() -> Self {
        Self::everything(0)
    }

    /// What another compiler made, such as libpcap of a text.
    pub fn from_instructions(instructions: Vec<Instruction>) -> Result<Self, ProgramError> {
        let program = Self(instructions);
        program.check()?;
        Ok(program)
    }

    /// The instructions.
    pub fn instructions(&self) -> &[Instruction] {
        &self.0
    }

    /// Packets that both programs keep, cut as `next` says: where this one would answer, it goes on in `next`.
    pub fn and(&self, next: &Self) -> Result<Self, ProgramError> {
        let len = self.0.len();
        let mut all = Vec::with_capacity(len + next.0.len() + 1);
        for (at, instruction) in self.0.iter().enumerate() {
            let to_next = Instruction::new(code::JA, (len - 1 - at) as u32);
            match *instruction {
                Instruction { code: code::RET_K, k: 0, .. } => all.push(*instruction),
                // libpcap and this crate never return A.
                found if found.is_return() => all.push(to_next),
                other => all.push(other),
            }
        }
        all.extend_from_slice(&next.0);
        Self::from_instructions(all)
    }

    /// Checks length and jumps.
    pub(crate) fn check(&self) -> Result<(), ProgramError> {
        let len = self.0.len();
        if len > MAX_INSTRUCTIONS {
            return Err(ProgramError::TooLong { len });
        }
        let lands = |at: usize, skip: u32| at + 1 + (skip as usize) < len;
        for (at, found) in self.0.iter().enumerate() {
            let fine = match found.code {
                code::JA => lands(at, found.k),
                jump if jump & code::CLASS == code::JMP => lands(at, found.jt.into()) && lands(at, found.jf.into()),
                _ => found.is_return() || at + 1 < len,
            };
            if !fine {
                return Err(ProgramError::Invalid { at });
            }
        }
        if len == 0 { Err(ProgramError::Invalid { at: 0 }) } else { Ok(()) }
    }
}

/// As `tcpdump -d` prints programs.
impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, instruction) in self.0.iter().enumerate() {
            write!(f, "({at:03}) {instruction}")?;
            let target = |skip: u32| at + 1 + skip as usize;
            match instruction.code {
                code::JA => writeln!(f, " {}", target(instruction.k))?,
                jump if jump & code::CLASS == code::JMP => {
                    writeln!(f, "\tjt {}\tjf {}", target(instruction.jt.into()), target(instruction.jf.into()))?;
                }
                _ => writeln!(f)?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Instruction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { code: op, k, .. } = *self;
        let name = mnemonic(op);
        match op {
            code::LDW_ABS | code::LDH_ABS | code::LDB_ABS if k >= ANCILLARY => {
                write!(f, "{name:<8} [kernel {}]", k - ANCILLARY)
            }
            code::LDW_ABS | code::LDH_ABS | code::LDB_ABS => write!(f, "{name:<8} [{k}]"),
            code::LDW_IND | code::LDH_IND | code::LDB_IND => write!(f, "{name:<8} [x + {k}]"),
            code::LDX_MSH => write!(f, "{name:<8} 4*([{k}]&0xf)"),
            code::LD_MEM | code::LDX_MEM | code::ST | code::STX => write!(f, "{name:<8} M[{k}]"),
            code::LD_LEN | code::LDX_LEN => write!(f, "{name:<8} #pktlen"),
            code::JA | code::TAX | code::TXA | code::RET_A => write!(f, "{name}"),
            alu if matches!(alu & code::CLASS, code::ALU | code::JMP) && alu & code::X != 0 => write!(f, "{name:<8} x"),
            code::RET_K | code::LSH_K | code::RSH_K => write!(f, "{name:<8} #{k}"),
            _ => write!(f, "{name:<8} #{k:#x}"),
        }
    }
}

fn mnemonic(op: u16) -> &'static str {
    const ALU: [&str; 11] = ["add", "sub", "mul", "div", "or", "and", "lsh", "rsh", "neg", "mod", "xor"];
    const JUMPS: [&str; 5] = ["ja", "jeq", "jgt", "jge", "jset"];
    let operation = usize::from(op >> 4);
    match op & code::CLASS {
        0 => match op & 0x18 {
            0x08 => "ldh",
            0x10 => "ldb",
            _ => "ld",
        },
        1 if op == code::LDX_MSH => "ldxb",
        1 => "ldx",
        2 => "st",
        3 => "stx",
        code::ALU => ALU.get(operation).copied().unwrap_or("?"),
        code::JMP => JUMPS.get(operation).copied().unwrap_or("?"),
        code::RET => "ret",
        _ if op == code::TXA => "txa",
        _ => "tax",
    }
}
