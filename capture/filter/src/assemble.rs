//! Labels and jumps: classic BPF jumps forward only, and conditional ones at most 255 instructions.

use crate::insn::{Instruction, Program, ProgramError, code};

/// A place in the program, jumped to before it is marked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Label(usize);

#[derive(Clone, Copy, Debug)]
enum Item {
    Plain(Instruction),
    Mark(Label),
    Goto(Label),
    /// Jumps when the comparison gives `when`, else goes on behind it.
    If {
        code: u16,
        k: u32,
        when: bool,
        then: Label,
        far: bool,
    },
}

impl Item {
    fn len(self) -> usize {
        match self {
            Self::Mark(_) => 0,
            Self::Plain(_) | Self::Goto(_) => 1,
            // Far: over the comparison's own step, a jump without limit.
            Self::If { far, .. } => 1 + usize::from(far),
        }
    }
}

/// A program in the making.
#[derive(Debug, Default)]
pub(crate) struct Assembler {
    items: Vec<Item>,
    labels: usize,
}

impl Assembler {
    pub(crate) fn label(&mut self) -> Label {
        self.labels += 1;
        Label(self.labels - 1)
    }

    /// The label stands for what is emitted next.
    pub(crate) fn mark(&mut self, label: Label) {
        self.items.push(Item::Mark(label));
    }

    pub(crate) fn emit(&mut self, code: u16, k: u32) {
        self.items.push(Item::Plain(Instruction::new(code, k)));
    }

    pub(crate) fn goto(&mut self, label: Label) {
        self.items.push(Item::Goto(label));
    }

    /// Jumps when the comparison of A with `k` holds.
    pub(crate) fn jump_if(&mut self, code: u16, k: u32, then: Label) {
        self.items.push(Item::If { code, k, when: true, then, far: false });
    }

    /// Jumps when it does not hold.
    pub(crate) fn jump_unless(&mut self, code: u16, k: u32, then: Label) {
        self.items.push(Item::If { code, k, when: false, then, far: false });
    }

    pub(crate) fn if_eq(&mut self, k: u32, then: Label) {
        self.jump_if(code::JEQ_K, k, then);
    }

    pub(crate) fn unless_eq(&mut self, k: u32, then: Label) {
        self.jump_unless(code::JEQ_K, k, then);
    }

    /// Resolves the labels. Comparisons become far jumps where they must, which moves others, until nothing changes.
    pub(crate) fn finish(mut self) -> Result<Program, ProgramError> {
        loop {
            let places = self.places();
            if !self.lengthen(&places) {
                let program = Program(self.instructions(&places));
                program.check()?;
                return Ok(program);
            }
        }
    }

    fn places(&self) -> Vec<usize> {
        let mut places = vec![usize::MAX; self.labels];
        let mut at = 0;
        for item in &self.items {
            if let Item::Mark(label) = item {
                places[label.0] = at;
            }
            at += item.len();
        }
        places
    }

    /// Whether a comparison had to become a far jump.
    fn lengthen(&mut self, places: &[usize]) -> bool {
        let (mut at, mut changed) = (0, false);
        for item in &mut self.items {
            let len = item.len();
            if let Item::If { then, far, .. } = item
                && !*far
                && places[then.0] - (at + 1) > usize::from(u8::MAX)
            {
                *far = true;
                changed = true;
            }
            at += len;
        }
        changed
    }

    fn instructions(&self, places: &[usize]) -> Vec<Instruction> {
        let mut all = Vec::new();
        for item in &self.items {
            let skip = |label: Label, from: usize| (places[label.0] - (from + 1)) as u32;
            match *item {
                Item::Mark(_) => {}
                Item::Plain(instruction) => all.push(instruction),
                Item::Goto(label) => all.push(Instruction::new(code::JA, skip(label, all.len()))),
                Item::If { code, k, when, then, far } => {
                    let at = all.len();
                    let (taken, other) = if far { (0, 1) } else { (skip(then, at) as u8, 0) };
                    let (jt, jf) = if when { (taken, other) } else { (other, taken) };
                    all.push(Instruction { code, jt, jf, k });
                    if far {
                        all.push(Instruction::new(code::JA, skip(then, at + 1)));
                    }
                }
            }
        }
        all
    }
}
