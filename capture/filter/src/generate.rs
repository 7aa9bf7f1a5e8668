//! From a [`Spec`] to a program.
//!
//! One piece of code per level of encapsulation, each jumping forward into the next: X is where the IP header begins,
//! its protocol and the place of what follows are found, the wanted values are tested, and where they do not agree,
//! what the packet carries is tried at the next level. Everything that is the same ends at the same place, which is
//! what the text language cannot say.

mod inside;
mod walk;
mod wanted;

use crate::assemble::{Assembler, Label};
use crate::insn::{OUTGOING, PACKET_TYPE, Program, ProgramError, code};
use crate::spec::{Protocol, Spec};

/// VLAN tags looked behind, per Ethernet header. The kernel takes the outermost out of the frame.
const TAGS: usize = 2;
/// IP headers looked at: the outermost and what two encapsulations carry, or one and an ICMP error in it.
const LEVELS: usize = 3;

/// Scratch memory: where the IP header begins, the protocol, where its header begins, and whether it is there (a
/// fragment but the first has none).
const L3: u32 = 0;
const PROTOCOL: u32 = 1;
const L4: u32 = 2;
const HAS_L4: u32 = 3;

/// What a packet begins with where it is captured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Base {
    /// An Ethernet header.
    Ethernet,
    /// An IP header: tun, ipip, wireguard.
    Ip,
}

/// How a program is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options {
    /// Bytes kept of a packet that matches.
    pub snaplen: u32,
    /// What packets begin with.
    pub base: Base,
    /// Whether tunnels and ICMP errors are looked into.
    pub inside: bool,
    /// Leaves out what the host sends: on a loopback interface each packet is seen twice, sent and received.
    pub received_only: bool,
}

impl Program {
    /// The program for what is wanted.
    pub fn of(spec: &Spec, options: Options) -> Result<Self, ProgramError> {
        let mut asm = Assembler::default();
        let (accept, reject) = (asm.label(), asm.label());
        if options.received_only {
            asm.emit(code::LDW_ABS, PACKET_TYPE);
            asm.if_eq(OUTGOING, reject);
        }
        let mut generator = Generator { asm: &mut asm, spec, accept, reject };
        if spec.is_everything() {
            generator.verdicts(options.snaplen);
        } else {
            generator.levels(options);
        }
        asm.finish()
    }
}

/// Where a level is entered, by what is there.
#[derive(Clone, Copy)]
struct Entries {
    /// X is at an Ethernet header's type, less what an Ethernet header is long.
    ethernet: Label,
    /// X is at an IP header, whose first four bits say which.
    ip: Label,
}

struct Generator<'a> {
    asm: &'a mut Assembler,
    spec: &'a Spec,
    accept: Label,
    reject: Label,
}

impl Generator<'_> {
    fn levels(&mut self, options: Options) {
        let count = if options.inside { LEVELS } else { 1 };
        let levels: Vec<Entries> =
            (0..count).map(|_| Entries { ethernet: self.asm.label(), ip: self.asm.label() }).collect();
        self.asm.emit(code::LDX_IMM, 0);
        if options.base == Base::Ip {
            self.asm.goto(levels[0].ip);
        }
        for (depth, entries) in levels.iter().enumerate() {
            self.ethernet(*entries, depth == 0);
            self.ip(*entries, depth == 0, levels.get(depth + 1).copied());
            self.verdicts(options.snaplen);
        }
    }

    /// Answers for the level, which later ones have their own of: most conditional jumps reach them.
    fn verdicts(&mut self, snaplen: u32) {
        self.asm.mark(self.accept);
        self.asm.emit(code::RET_K, snaplen);
        self.asm.mark(self.reject);
        self.asm.emit(code::RET_K, 0);
        (self.accept, self.reject) = (self.asm.label(), self.asm.label());
    }

    /// Finds the IP header behind an Ethernet header and its VLAN tags.
    fn ethernet(&mut self, entries: Entries, outermost: bool) {
        let (reject, arp, found) = (self.reject, self.asm.label(), self.asm.label());
        self.asm.mark(entries.ethernet);
        for _ in 0..TAGS {
            let (tagged, next) = (self.asm.label(), self.asm.label());
            self.asm.emit(code::LDH_IND, 12);
            self.ether_types(found, arp);
            self.asm.if_eq(0x8100, tagged);
            self.asm.unless_eq(0x88a8, reject);
            self.asm.mark(tagged);
            self.advance(4);
            self.asm.mark(next);
        }
        self.asm.emit(code::LDH_IND, 12);
        self.ether_types(found, arp);
        self.asm.goto(reject);
        self.asm.mark(arp);
        if outermost {
            self.arp();
        } else {
            self.asm.goto(reject);
        }
        self.asm.mark(found);
        self.advance(14);
    }

    fn ether_types(&mut self, ip: Label, arp: Label) {
        self.asm.if_eq(0x0800, ip);
        self.asm.if_eq(0x86dd, ip);
        self.asm.if_eq(0x0806, arp);
    }

    /// ARP has addresses, and no ports.
    fn arp(&mut self) {
        let (accept, reject, spec) = (self.accept, self.reject, self.spec);
        let wanted = spec.protocols.is_empty() || spec.protocols.contains(&Protocol::Arp);
        if !wanted || !spec.ports.is_empty() {
            return self.asm.goto(reject);
        }
        if self.tests_addresses() {
            self.addresses(&[28, 38], true, reject);
        }
        self.asm.goto(accept);
    }

    fn ip(&mut self, entries: Entries, outermost: bool, inner: Option<Entries>) {
        let (v4, v6, known) = (self.asm.label(), self.asm.label(), self.asm.label());
        let no_match = self.asm.label();
        self.asm.mark(entries.ip);
        self.asm.emit(code::STX, L3);
        self.asm.emit(code::LD_IMM, 1);
        self.asm.emit(code::ST, HAS_L4);
        self.asm.emit(code::LDB_IND, 0);
        self.asm.emit(code::RSH_K, 4);
        self.asm.if_eq(4, v4);
        self.asm.if_eq(6, v6);
        self.asm.goto(self.reject);
        self.asm.mark(v4);
        self.walk_v4();
        self.asm.goto(known);
        self.asm.mark(v6);
        self.walk_v6();
        self.asm.mark(known);
        self.asm.emit(code::STX, L4);
        if outermost {
            self.leave_out();
        }
        self.wanted(no_match);
        self.asm.mark(no_match);
        match inner {
            Some(inner) => self.inside(inner),
            None => self.asm.goto(self.reject),
        }
    }

    /// X goes on by a fixed length.
    fn advance(&mut self, by: u32) {
        self.asm.emit(code::TXA, 0);
        self.asm.emit(code::ADD_K, by);
        self.asm.emit(code::TAX, 0);
    }
}
