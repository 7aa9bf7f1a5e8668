//! Standard output: coloured or not, a terminal or not.

use anstream::{AutoStream, ColorChoice};
use std::io::{self, IsTerminal as _, Write};

/// Widest line of text: longer ones are hard to read.
const MAX_WIDTH: usize = 100;
/// Narrowest line of text that is still laid out.
const MIN_WIDTH: usize = 60;

/// Where output goes.
pub(crate) struct Streams {
    color: ColorChoice,
    terminal: bool,
}

impl Streams {
    pub(crate) fn new(color: ColorChoice) -> Self {
        color.write_global();
        Self { color, terminal: io::stdout().is_terminal() }
    }

    /// Whether somebody looks at the output.
    pub(crate) fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Columns to lay text out in.
    pub(crate) fn width(&self) -> usize {
        let columns = terminal_size::terminal_size().filter(|_| self.terminal);
        columns.map_or(MAX_WIDTH, |(columns, _)| usize::from(columns.0).clamp(MIN_WIDTH, MAX_WIDTH))
    }

    /// Prints bytes as they are.
    #[expect(clippy::unused_self, reason = "standard output is reached through the streams only")]
    pub(crate) fn print_plain(&self, bytes: &[u8]) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(bytes)?;
        out.flush()
    }

    /// Prints text, without colours where they are not wanted.
    pub(crate) fn print(&self, text: &[u8]) -> io::Result<()> {
        let mut out = AutoStream::new(io::stdout().lock(), self.color);
        out.write_all(text)?;
        out.flush()
    }
}
