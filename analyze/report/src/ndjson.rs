//! JSON lines: one object a row.

use crate::{
    format::{Format, TableWriter},
    frame,
    group::Group,
    output::Output,
};
use kcap_analyze::table::TableSpec;
use polars::prelude::PolarsResult;
use std::io::Write;

/// NDJSON.
pub(crate) const FORMAT: Format =
    Format { name: "ndjson", suffix: "ndjson", doc: "one JSON object a line: for jq and log pipelines", create };

struct Writer {
    output: Output,
}

#[expect(clippy::unnecessary_wraps, reason = "the signature is that of every format")]
fn create(output: Output, _: TableSpec) -> PolarsResult<Box<dyn TableWriter>> {
    Ok(Box::new(Writer { output }))
}

impl TableWriter for Writer {
    fn write(&mut self, group: &Group) -> PolarsResult<()> {
        polars::io::json::BatchedWriter::new(&mut self.output).write_batch(&frame::readable(group, |texts| texts)?)
    }

    fn finish(&mut self) -> PolarsResult<()> {
        Ok(self.output.flush()?)
    }
}
