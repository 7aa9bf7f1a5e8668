//! IP headers: what protocol follows, and where.

use super::{Generator, HAS_L4, PROTOCOL};
use crate::assemble::Label;
use crate::insn::code;

/// IPv6 extension headers looked behind, per level.
const EXTENSIONS: usize = 2;

impl Generator<'_> {
    /// Protocol to memory, X to what follows the header.
    pub(super) fn walk_v4(&mut self) {
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

    pub(super) fn walk_v6(&mut self) {
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
}
