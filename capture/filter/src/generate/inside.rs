//! What a packet carries: tunnels, and packets that ICMP errors quote.

use super::{Entries, Generator, HAS_L4, L4, PROTOCOL};
use crate::insn::code;

impl Generator<'_> {
    /// Goes to the IP or Ethernet header of what this packet carries.
    pub(super) fn inside(&mut self, inner: Entries) {
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
