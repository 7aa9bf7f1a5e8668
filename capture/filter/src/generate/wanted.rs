//! Tests of what is wanted: protocols, addresses, ports.

use super::{Generator, HAS_L4, L3, L4, PROTOCOL};
use crate::assemble::Label;
use crate::insn::code;
use crate::spec::{Net, PortRange, Protocol, Transport};
use std::net::IpAddr;

/// Ports tested before a way to the end: source and destination, two instructions for a range, 255 at most.
const PIECE: usize = 60;

impl Generator<'_> {
    /// The capture's own way out, before anything is wanted.
    pub(super) fn leave_out(&mut self) {
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
    pub(super) fn wanted(&mut self, no_match: Label) {
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

    pub(super) fn tests_addresses(&self) -> bool {
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
    pub(super) fn addresses(&mut self, offsets: &[u32], v4: bool, no_match: Label) {
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
