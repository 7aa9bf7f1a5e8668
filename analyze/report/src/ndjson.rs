//! JSON lines: one object a row.

use crate::{
    format::{Format, TableWriter},
    frame,
    group::{Group, GroupWriter, Grouped},
    output::Output,
};
use kcap_analyze::table::TableSpec;
use polars::prelude::PolarsResult;
use std::io::Write;

/// NDJSON.
pub(crate) const FORMAT: Format =
    Format { name: "ndjson", suffix: "ndjson", doc: "one JSON object a line: for jq and log pipelines", create };

/// Rows that are one text in memory before they are written; the text of a whole row group would be tens of megabytes.
const BATCH: usize = 4096;

struct Writer {
    output: Output,
}

#[expect(clippy::unnecessary_wraps, reason = "the signature is that of every format")]
fn create(output: Output, spec: TableSpec) -> PolarsResult<Box<dyn TableWriter>> {
    Ok(Box::new(Grouped::new(spec, Writer { output })))
}

impl GroupWriter for Writer {
    fn write(&mut self, group: &Group) -> PolarsResult<()> {
        let frame = frame::readable(group, |texts| texts)?;
        let mut writer = polars::io::json::BatchedWriter::new(&mut self.output);
        (0..group.len).step_by(BATCH).try_for_each(|start| writer.write_batch(&frame.slice(start as i64, BATCH)))
    }

    fn finish(&mut self) -> PolarsResult<()> {
        Ok(self.output.flush()?)
    }
}
