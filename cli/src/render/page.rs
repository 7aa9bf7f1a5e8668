use super::clean::clean;
use anstyle::{AnsiColor, Style};
use kcap_analyze::finding::Severity;
use std::fmt::Write as _;

const HEADING: Style = Style::new().bold();
const LABEL: Style = Style::new().dimmed();

/// A word and how it is shown.
#[derive(Clone, Copy)]
pub(crate) struct Word {
    text: &'static str,
    style: Style,
}

/// A severity as a word.
pub(crate) fn severity_word(severity: Severity) -> Word {
    let bold = |color: AnsiColor| color.on_default().bold();
    match severity {
        Severity::Critical => Word { text: "CRITICAL", style: bold(AnsiColor::Red).invert() },
        Severity::Error => Word { text: "ERROR", style: bold(AnsiColor::Red) },
        Severity::Warning => Word { text: "WARNING", style: bold(AnsiColor::Yellow) },
        Severity::Info => Word { text: "INFO", style: bold(AnsiColor::Blue) },
    }
}

/// Text laid out in lines. All text that goes in is cleaned; styles are the page's own.
pub(crate) struct Page {
    out: String,
    width: usize,
}

impl Page {
    pub(crate) fn new(width: usize) -> Self {
        Self { out: String::new(), width }
    }

    pub(crate) fn into_text(self) -> String {
        self.out
    }

    /// A line that begins a section, after an empty one unless it is the first.
    pub(crate) fn heading(&mut self, text: &str) {
        self.gap();
        let _ = writeln!(self.out, "{HEADING}{}{HEADING:#}", clean(text));
    }

    /// An empty line, unless the page is.
    pub(crate) fn gap(&mut self) {
        if !self.out.is_empty() {
            self.out.push('\n');
        }
    }

    /// Wrapped text.
    pub(crate) fn paragraph(&mut self, indent: usize, text: &str) {
        for line in text.lines() {
            self.wrap(indent, indent, line);
        }
    }

    /// Wrapped text whose further lines are set in.
    pub(crate) fn line(&mut self, text: &str) {
        self.wrap(2, 4, text);
    }

    /// A wrapped item of a list.
    pub(crate) fn item(&mut self, text: &str) {
        self.wrap(2, 4, &format!("- {text}"));
    }

    /// A label and wrapped text beside it, in a column that begins after `column` characters.
    pub(crate) fn entry(&mut self, column: usize, label: &str, text: &str) {
        let label = clean(label);
        let gap = column.saturating_sub(2 + textwrap::core::display_width(&label)).max(1);
        let lead = format!("{LABEL}{label}{LABEL:#}{}", " ".repeat(gap));
        let start = column.max(3 + textwrap::core::display_width(&label));
        for (index, line) in text.lines().enumerate() {
            if index == 0 {
                self.wrap_after(2, start, column, &lead, line);
            } else {
                self.wrap(column, column, line);
            }
        }
    }

    /// A styled word, a code and wrapped text.
    pub(crate) fn tagged(&mut self, word: Word, code: &str, text: &str) {
        let Word { text: name, style } = word;
        let lead = format!("{style}{name}{style:#}{} {HEADING}{}{HEADING:#} ", " ".repeat(8 - name.len()), clean(code));
        let start = 10 + textwrap::core::display_width(&clean(code));
        self.wrap_after(0, start, start, &lead, text);
    }

    /// Lines that are to be copied, and so are never wrapped.
    pub(crate) fn verbatim(&mut self, indent: usize, text: &str) {
        for line in text.lines() {
            let _ = writeln!(self.out, "{:indent$}{}", "", clean(line));
        }
    }

    /// A label and one line that is to be copied.
    pub(crate) fn verbatim_entry(&mut self, column: usize, label: &str, text: &str) {
        let _ = write!(self.out, "  {LABEL}{label}{LABEL:#}");
        self.verbatim(column.saturating_sub(2 + label.len()), text);
    }

    fn wrap(&mut self, first: usize, rest: usize, text: &str) {
        self.wrap_after(first, first, rest, "", text);
    }

    /// Wraps text after a lead whose end is at column `start`.
    fn wrap_after(&mut self, indent: usize, start: usize, rest: usize, lead: &str, text: &str) {
        let (initial, subsequent) = (" ".repeat(start), " ".repeat(rest));
        let options = textwrap::Options::new(self.width)
            .initial_indent(&initial)
            .subsequent_indent(&subsequent)
            .word_splitter(textwrap::WordSplitter::NoHyphenation);
        let text = together(&clean(text));
        let mut lines = textwrap::wrap(&text, options).into_iter().map(|line| line.replace(NO_BREAK, " "));
        let first = lines.next().unwrap_or_default();
        let first = first.get(start..).unwrap_or_default();
        let _ = writeln!(self.out, "{:indent$}{lead}{first}", "");
        for line in lines {
            self.out.push_str(&line);
            self.out.push('\n');
        }
    }
}

/// A space that lines do not end at.
const NO_BREAK: char = '\u{a0}';
/// What stands behind a number and is read with it.
const UNITS: [&str; 12] = ["%", "B", "GB", "GiB", "KiB", "MB", "MiB", "kB", "min", "ms", "s", "µs"];

/// The text with no break between numbers and their units.
fn together(text: &str) -> String {
    let mut joined = String::with_capacity(text.len());
    let mut is_number = false;
    for word in text.split_inclusive(' ') {
        let unit = word.trim_end_matches([' ', '.', ',', ';', ':', ')']);
        if is_number && UNITS.contains(&unit) {
            joined.pop();
            joined.push(NO_BREAK);
        }
        joined.push_str(word);
        let digits = word.trim_start_matches('(').strip_suffix(' ').unwrap_or_default();
        is_number = !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit() || ",.".contains(c));
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::Page;

    #[test]
    fn numbers_keep_their_units() {
        let mut page = Page::new(20);
        page.line("it took a while: 3.2 ms, then 15 % and 7 packets");
        assert_eq!(page.into_text(), "  it took a while:\n    3.2 ms, then\n    15 % and 7\n    packets\n");
    }
}
