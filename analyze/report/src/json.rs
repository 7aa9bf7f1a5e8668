//! The report as JSON, the contract `kcap.report/1`.

use kcap_analyze::Report;
use std::io::{self, Write};

/// Writes the report as one JSON object and a newline; `pretty` is for people.
///
/// # Errors
/// `out` cannot be written.
pub fn write(report: &Report, mut out: impl Write, pretty: bool) -> io::Result<()> {
    if pretty {
        serde_json::to_writer_pretty(&mut out, report)?;
    } else {
        serde_json::to_writer(&mut out, report)?;
    }
    out.write_all(b"\n")
}
