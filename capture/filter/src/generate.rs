//! From a [`Spec`] to a program.
//!
//! One piece of code per level of encapsulation, each jumping forward into the next: X is where the IP header begins,
//! its protocol and the place of what follows are found, the wanted values are tested, and where they do not agree,
//! what the packet carries is tried at the next level. Everything that is the same ends at the same place, which is
//! what the text language cannot say.

use crate::assemble::{Assembler, Label};
use crate::insn::{OUTGOING, PACKET_TYPE, Program, ProgramError, code};
use crate::spec::{Net, PortRange, Protocol, Spec, Transport};
use std::net::IpAddr;

/// IPv6 extension headers looked behind, per level.
const EXTENSIONS: usize = 2;
/// VLAN tags looked behind, per Ethernet header. The kernel takes the outermost out of the frame.
const TAGS: usize = 2;
/// IP headers looked at: the outermost and what two encapsulations carry, or one and an ICMP error in it.
const LEVELS: usize = 3;
/// Ports tested before a way to the end: source and destination, two instructions for a range, 255 at most.
const PIECE: usize = 60;

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

    /// Protocol to memory, X to what follows the header.
    fn walk_v4(&mut self) {
        let first = self.asm.label();
        self.asm.emit(code::LDB_IND, 9);
        self.asm.emit(code::ST, PROTOCOL);
        self.asm.emit(code::LDH_IND, 6);
        self.asm.jump_unless(code::JSET_K, 0x1fff, first);
        self.without_l4();
        self.asm.mark(first);
        self.asm.emit(code::LDB_IND, 0);
        self.asm.emit(code::AND_K, 0x0f);
        self.asm.emit(code::LSH_K, 2);
        self.asm.emit(code::ADD_X, 0);
        self.asm.emit(code::TAX, 0);
    }

    fn walk_v6(&mut self) {
        let done = self.asm.label();
        self.asm.emit(code::LDB_IND, 6);
        self.asm.emit(code::ST, PROTOCOL);
        self.advance(40);
        for _ in 0..EXTENSIONS {
            self.extension(done);
        }
        self.asm.mark(done);
    }

    /// One IPv6 extension header (RFC 8200 section 4, RFC 4302): X and protocol go behind it.
    fn extension(&mut self, done: Label) {
        let [plain, fragment, next] = [(); 3].map(|()| self.asm.label());
        self.asm.emit(code::LD_MEM, PROTOCOL);
        for number in [0, 43, 60] {
            self.asm.if_eq(number, plain);
        }
        self.asm.if_eq(44, fragment);
        self.asm.unless_eq(51, done);
        // Its length is in units of four bytes.
        self.next_header();
        self.behind_extension(2, 2);
        self.asm.goto(next);
        self.asm.mark(plain);
        self.next_header();
        self.behind_extension(1, 3);
        self.asm.goto(next);
        self.asm.mark(fragment);
        self.next_header();
        let first = self.asm.label();
        self.asm.emit(code::LDH_IND, 2);
        self.asm.jump_unless(code::JSET_K, 0xfff8, first);
        self.without_l4();
        self.asm.goto(done);
        self.asm.mark(first);
        self.advance(8);
        self.asm.mark(next);
    }

    fn next_header(&mut self) {
        self.asm.emit(code::LDB_IND, 0);
        self.asm.emit(code::ST, PROTOCOL);
    }

    /// X goes on by the length in the header's second byte, which counts `unit`s (as a shift) beyond the first.
    fn behind_extension(&mut self, more: u32, unit: u32) {
        self.asm.emit(code::LDB_IND, 1);
        self.asm.emit(code::ADD_K, more);
        self.asm.emit(code::LSH_K, unit);
        self.asm.emit(code::ADD_X, 0);
        self.asm.emit(code::TAX, 0);
    }

    fn without_l4(&mut self) {
        self.asm.emit(code::LD_IMM, 0);
        self.asm.emit(code::ST, HAS_L4);
    }

    /// X goes on by a fixed length.
    fn advance(&mut self, by: u32) {
        self.asm.emit(code::TXA, 0);
        self.asm.emit(code::ADD_K, by);
        self.asm.emit(code::TAX, 0);
    }

    /// The capture's own way out, before anything is wanted.
    fn leave_out(&mut self) {
        if self.spec.except.is_empty() {
            return;
        }
        let (other, reject) = (self.asm.label(), self.reject);
        self.asm.emit(code::LD_MEM, HAS_L4);
        self.asm.if_eq(0, other);
        self.asm.emit(code::LD_MEM, PROTOCOL);
        self.asm.unless_eq(Transport::Tcp.number().into(), other);
        for offset in [0, 2] {
            self.asm.emit(code::LDH_IND, offset);
            for port in &self.spec.except {
                self.asm.if_eq((*port).into(), reject);
            }
        }
        self.asm.mark(other);
    }

    /// Accepts when protocol, addresses and ports agree.
    fn wanted(&mut self, no_match: Label) {
        let spec = self.spec;
        if !spec.selects() {
            return self.asm.goto(self.accept);
        }
        if !spec.protocols.is_empty() {
            self.protocols(no_match);
        }
        if self.tests_addresses() {
            self.ip_addresses(no_match);
        }
        if spec.ports.is_empty() { self.asm.goto(self.accept) } else { self.ports(no_match) }
    }

    fn protocols(&mut self, no_match: Label) {
        let fine = self.asm.label();
        self.asm.emit(code::LD_MEM, PROTOCOL);
        for protocol in &self.spec.protocols {
            if let Protocol::Ip(number) = protocol {
                self.asm.if_eq((*number).into(), fine);
            }
        }
        self.asm.goto(no_match);
        self.asm.mark(fine);
    }

    fn tests_addresses(&self) -> bool {
        !(self.spec.hosts.is_empty() && self.spec.nets.is_empty())
    }

    fn ip_addresses(&mut self, no_match: Label) {
        let (v6, fine) = (self.asm.label(), self.asm.label());
        self.asm.emit(code::LDX_MEM, L3);
        self.asm.emit(code::LDB_IND, 0);
        self.asm.emit(code::RSH_K, 4);
        self.asm.if_eq(6, v6);
        self.addresses(&[12, 16], true, no_match);
        self.asm.goto(fine);
        self.asm.mark(v6);
        self.addresses(&[8, 24], false, no_match);
        self.asm.mark(fine);
        self.asm.emit(code::LDX_MEM, L4);
    }

    /// Goes on when an address at one of the offsets is a wanted host, and one is in a wanted network.
    fn addresses(&mut self, offsets: &[u32], v4: bool, no_match: Label) {
        let hosts: Vec<Net> = self.spec.hosts.iter().map(|&address| host(address)).collect();
        for alternatives in [hosts, self.spec.nets.clone()] {
            if alternatives.is_empty() {
                continue;
            }
            let fine = self.asm.label();
            for net in alternatives.iter().filter(|net| net.address.is_ipv4() == v4) {
                for offset in offsets {
                    self.in_net(*offset, net, fine);
                }
            }
            self.asm.goto(no_match);
            self.asm.mark(fine);
        }
    }

    /// Jumps when the address at the offset is in the network.
    fn in_net(&mut self, offset: u32, net: &Net, fine: Label) {
        let other = self.asm.label();
        let words = words(net.address);
        let mut bits = u32::from(net.prefix);
        for (index, word) in words.iter().enumerate() {
            let Some(mask) = mask(bits) else { break };
            self.asm.emit(code::LDW_IND, offset + 4 * index as u32);
            if mask != u32::MAX {
                self.asm.emit(code::AND_K, mask);
            }
            self.asm.unless_eq(word & mask, other);
            bits = bits.saturating_sub(32);
        }
        self.asm.goto(fine);
        self.asm.mark(other);
    }

    /// X is at the ports. Protocols with the same list share its code.
    fn ports(&mut self, no_match: Label) {
        let lists = Transport::ALL.map(|transport| {
            let applies = |range: &&PortRange| range.transport.is_none_or(|only| only == transport);
            (transport, self.spec.ports.iter().filter(applies).map(|r| (r.first, r.last)).collect::<Vec<_>>())
        });
        let mut blocks: Vec<(Label, Vec<(u16, u16)>)> = Vec::new();
        self.asm.emit(code::LD_MEM, HAS_L4);
        self.asm.if_eq(0, no_match);
        self.asm.emit(code::LD_MEM, PROTOCOL);
        for (transport, ranges) in lists.into_iter().filter(|(_, ranges)| !ranges.is_empty()) {
            let known = blocks.iter().find(|(_, known)| *known == ranges).map(|(label, _)| *label);
            let label = known.unwrap_or_else(|| self.asm.label());
            if known.is_none() {
                blocks.push((label, ranges));
            }
            self.asm.if_eq(transport.number().into(), label);
        }
        self.asm.goto(no_match);
        for (label, ranges) in blocks {
            self.asm.mark(label);
            self.port_lists(&ranges);
            self.asm.goto(no_match);
        }
    }

    /// Long lists are cut in pieces, each with its own way to the end in reach of a conditional jump.
    fn port_lists(&mut self, ranges: &[(u16, u16)]) {
        for piece in ranges.chunks(PIECE) {
            let (hit, over) = (self.asm.label(), self.asm.label());
            for offset in [0, 2] {
                self.asm.emit(code::LDH_IND, offset);
                for range in piece {
                    self.port_range(*range, hit);
                }
            }
            self.asm.goto(over);
            self.asm.mark(hit);
            self.asm.goto(self.accept);
            self.asm.mark(over);
        }
    }

    fn port_range(&mut self, (first, last): (u16, u16), hit: Label) {
        if first == last {
            return self.asm.if_eq(first.into(), hit);
        }
        let other = self.asm.label();
        self.asm.jump_unless(code::JGE_K, first.into(), other);
        self.asm.jump_unless(code::JGT_K, last.into(), hit);
        self.asm.mark(other);
    }

    /// Goes to the IP or Ethernet header of what this packet carries.
    fn inside(&mut self, inner: Entries) {
        let [udp, gre, icmp, icmp6] = [(); 4].map(|()| self.asm.label());
        let reject = self.reject;
        self.asm.emit(code::LD_MEM, HAS_L4);
        self.asm.if_eq(0, reject);
        self.asm.emit(code::LDX_MEM, L4);
        self.asm.emit(code::LD_MEM, PROTOCOL);
        // IPv4 and IPv6 in IP (RFC 2003, RFC 4213).
        self.asm.if_eq(4, inner.ip);
        self.asm.if_eq(41, inner.ip);
        self.asm.if_eq(17, udp);
        self.asm.if_eq(47, gre);
        self.asm.if_eq(1, icmp);
        self.asm.if_eq(58, icmp6);
        self.asm.goto(reject);
        self.asm.mark(udp);
        self.over_udp(inner);
        self.asm.mark(gre);
        self.over_gre(inner);
        self.asm.mark(icmp);
        self.quoted(&[3, 4, 5, 11, 12], inner);
        self.asm.mark(icmp6);
        self.quoted(&[1, 2, 3, 4], inner);
    }

    /// VXLAN (RFC 7348; 8472 is the port of Linux, flannel and Cilium) and Geneve (RFC 8926).
    fn over_udp(&mut self, inner: Entries) {
        let (vxlan, geneve) = (self.asm.label(), self.asm.label());
        let reject = self.reject;
        self.asm.emit(code::LDH_IND, 2);
        self.asm.if_eq(4789, vxlan);
        self.asm.if_eq(8472, vxlan);
        self.asm.if_eq(6081, geneve);
        self.asm.goto(reject);
        self.asm.mark(vxlan);
        self.advance(16);
        self.asm.goto(inner.ethernet);
        self.asm.mark(geneve);
        self.asm.emit(code::LDH_IND, 10);
        self.asm.emit(code::ST, PROTOCOL);
        self.asm.emit(code::LDB_IND, 8);
        self.asm.emit(code::AND_K, 0x3f);
        self.asm.emit(code::LSH_K, 2);
        self.asm.emit(code::ADD_K, 16);
        self.by_ether_type(inner);
    }

    /// RFC 2784 and 2890: checksum, key and sequence number add four bytes each.
    fn over_gre(&mut self, inner: Entries) {
        self.asm.emit(code::LDH_IND, 2);
        self.asm.emit(code::ST, PROTOCOL);
        self.asm.emit(code::LD_IMM, 4);
        self.asm.emit(code::ST, L4);
        for flag in [0x8000, 0x2000, 0x1000] {
            let clear = self.asm.label();
            self.asm.emit(code::LDH_IND, 0);
            self.asm.jump_unless(code::JSET_K, flag, clear);
            self.asm.emit(code::LD_MEM, L4);
            self.asm.emit(code::ADD_K, 4);
            self.asm.emit(code::ST, L4);
            self.asm.mark(clear);
        }
        self.asm.emit(code::LD_MEM, L4);
        self.by_ether_type(inner);
    }

    /// A is what X goes on by, memory has the Ethernet type of what is there.
    fn by_ether_type(&mut self, inner: Entries) {
        self.asm.emit(code::ADD_X, 0);
        self.asm.emit(code::TAX, 0);
        self.asm.emit(code::LD_MEM, PROTOCOL);
        self.asm.if_eq(0x6558, inner.ethernet);
        self.asm.if_eq(0x0800, inner.ip);
        self.asm.if_eq(0x86dd, inner.ip);
        self.asm.goto(self.reject);
    }

    /// Errors quote the packet they are about behind eight bytes (RFC 792, RFC 4443).
    fn quoted(&mut self, errors: &[u32], inner: Entries) {
        let error = self.asm.label();
        self.asm.emit(code::LDB_IND, 0);
        for kind in errors {
            self.asm.if_eq(*kind, error);
        }
        self.asm.goto(self.reject);
        self.asm.mark(error);
        self.advance(8);
        self.asm.goto(inner.ip);
    }
}

fn host(address: IpAddr) -> Net {
    Net { address, prefix: if address.is_ipv4() { 32 } else { 128 } }
}

fn words(address: IpAddr) -> Vec<u32> {
    match address {
        IpAddr::V4(address) => vec![address.to_bits()],
        IpAddr::V6(address) => (0..4).rev().map(|word| (address.to_bits() >> (32 * word)) as u32).collect(),
    }
}

/// The bits of a word that count; nothing when none do.
fn mask(bits: u32) -> Option<u32> {
    match bits {
        0 => None,
        32.. => Some(u32::MAX),
        _ => Some(u32::MAX << (32 - bits)),
    }
}
