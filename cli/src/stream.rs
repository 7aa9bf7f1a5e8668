//! Where data goes: coloured or not, a terminal or not.

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
    /// Standard output has other data.
    aside: bool,
}

impl Streams {
    pub(crate) fn new(color: ColorChoice) -> Self {
        color.write_global();
        Self { color, terminal: io::stdout().is_terminal(), aside: false }
    }

    /// The same on standard error, for when packets go to standard output.
    #[cfg(all(target_os = "linux", feature = "libpcap"))]
    pub(crate) fn aside(&self) -> Self {
        Self { color: self.color, terminal: io::stderr().is_terminal(), aside: true }
    }

    /// Whether somebody looks at the output.
    pub(crate) fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Columns to lay text out in: those of `COLUMNS`, or of the terminal.
    pub(crate) fn width(&self) -> usize {
        let asked = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
        let shown = || terminal_size::terminal_size().filter(|_| self.terminal).map(|(columns, _)| columns.0.into());
        asked.or_else(shown).map_or(MAX_WIDTH, |columns: usize| columns.clamp(MIN_WIDTH, MAX_WIDTH))
    }

    /// Prints bytes as they are.
    pub(crate) fn print_plain(&self, bytes: &[u8]) -> io::Result<()> {
        if self.aside { put(io::stderr().lock(), bytes) } else { put(io::stdout().lock(), bytes) }
    }

    /// Prints text, without colours where they are not wanted.
    pub(crate) fn print(&self, text: &[u8]) -> io::Result<()> {
        if self.aside {
            put(AutoStream::new(io::stderr().lock(), self.color), text)
        } else {
            put(AutoStream::new(io::stdout().lock(), self.color), text)
        }
    }
}

fn put(mut out: impl Write, bytes: &[u8]) -> io::Result<()> {
    out.write_all(bytes)?;
    out.flush()
}
