//! Running a program in user space.

use crate::insn::{ANCILLARY, Instruction, PACKET_TYPE, Program, code};

/// What the kernel knows of a packet beside its bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Ancillary {
    /// `sll_pkttype`: 0 to this host, 4 sent by it.
    pub packet_type: u8,
    /// Bytes the packet had on the wire; 0 means as many as there are.
    pub wire_len: u32,
}

struct Machine<'a> {
    packet: &'a [u8],
    ancillary: Ancillary,
    a: u32,
    x: u32,
    memory: [u32; 16],
}

impl Program {
    /// Bytes the kernel would keep of the packet: 0 for none. A load past the packet's end answers 0, as in the kernel.
    pub fn run(&self, packet: &[u8], ancillary: Ancillary) -> u32 {
        let mut machine = Machine { packet, ancillary, a: 0, x: 0, memory: [0; 16] };
        let mut at = 0;
        while let Some(&instruction) = self.0.get(at) {
            if instruction.is_return() {
                return if instruction.code == code::RET_A { machine.a } else { instruction.k };
            }
            // Jumps go forward only, so that every program ends.
            match machine.step(instruction) {
                Some(skip) => at += 1 + skip as usize,
                None => return 0,
            }
        }
        0
    }
}

impl Machine<'_> {
    /// Instructions to skip; nothing when the packet is too short or the instruction unknown.
    fn step(&mut self, instruction: Instruction) -> Option<u32> {
        let Instruction { code: op, k, .. } = instruction;
        match op & code::CLASS {
            code::JMP => return self.jump(instruction),
            code::ALU => self.a = self.compute(op, k)?,
            0 => self.a = self.load(op, k)?,
            1 => self.x = self.load_x(op, k)?,
            2 => *self.memory.get_mut(k as usize)? = self.a,
            3 => *self.memory.get_mut(k as usize)? = self.x,
            _ if op == code::TAX => self.x = self.a,
            _ if op == code::TXA => self.a = self.x,
            _ => return None,
        }
        Some(0)
    }

    fn jump(&self, instruction: Instruction) -> Option<u32> {
        let Instruction { code: op, jt, jf, k } = instruction;
        if op == code::JA {
            return Some(k);
        }
        let operand = if op & code::X == 0 { k } else { self.x };
        let holds = match op & !code::X {
            code::JEQ_K => self.a == operand,
            code::JGT_K => self.a > operand,
            code::JGE_K => self.a >= operand,
            code::JSET_K => self.a & operand != 0,
            _ => return None,
        };
        Some(if holds { jt } else { jf }.into())
    }

    fn compute(&self, op: u16, k: u32) -> Option<u32> {
        let operand = if op & code::X == 0 { k } else { self.x };
        Some(match op >> 4 {
            0 => self.a.wrapping_add(operand),
            1 => self.a.wrapping_sub(operand),
            2 => self.a.wrapping_mul(operand),
            3 => self.a.checked_div(operand)?,
            4 => self.a | operand,
            5 => self.a & operand,
            6 => self.a.checked_shl(operand).unwrap_or(0),
            7 => self.a.checked_shr(operand).unwrap_or(0),
            8 => self.a.wrapping_neg(),
            9 => self.a.checked_rem(operand)?,
            10 => self.a ^ operand,
            _ => return None,
        })
    }

    fn load(&self, op: u16, k: u32) -> Option<u32> {
        match op {
            code::LD_IMM => Some(k),
            code::LD_MEM => self.memory.get(k as usize).copied(),
            code::LD_LEN => Some(self.wire_len()),
            code::LDW_ABS | code::LDH_ABS | code::LDB_ABS if k >= ANCILLARY => {
                // Everything else the kernel knows is 0 here, such as the VLAN tag it takes out of the frame.
                Some(if k == PACKET_TYPE { self.ancillary.packet_type.into() } else { 0 })
            }
            code::LDW_ABS | code::LDW_IND => self.bytes::<4>(op, k).map(u32::from_be_bytes),
            code::LDH_ABS | code::LDH_IND => self.bytes::<2>(op, k).map(|found| u16::from_be_bytes(found).into()),
            code::LDB_ABS | code::LDB_IND => self.bytes::<1>(op, k).map(|[found]| found.into()),
            _ => None,
        }
    }

    fn load_x(&self, op: u16, k: u32) -> Option<u32> {
        match op {
            code::LDX_IMM => Some(k),
            code::LDX_MEM => self.memory.get(k as usize).copied(),
            code::LDX_LEN => Some(self.wire_len()),
            code::LDX_MSH => self.packet.get(k as usize).map(|&found| u32::from(found & 0x0f) * 4),
            _ => None,
        }
    }

    fn bytes<const N: usize>(&self, op: u16, k: u32) -> Option<[u8; N]> {
        let indirect = op & 0x40 != 0;
        let start = if indirect { self.x.checked_add(k)? } else { k } as usize;
        self.packet.get(start..start.checked_add(N)?)?.try_into().ok()
    }

    fn wire_len(&self) -> u32 {
        self.ancillary.wire_len.max(self.packet.len() as u32)
    }
}
