use super::{Format, Screen};
use kcap_analyze::Report;
use std::io::{self, Write};

/// JSON.
pub(super) const FORMAT: Format =
    Format { name: "json", doc: "one JSON object, see `kcap schema report`", styled: false, render };

fn render(report: &Report, screen: &Screen, out: &mut dyn Write) -> io::Result<()> {
    kcap_report::json::write(report, out, screen.terminal)
}
