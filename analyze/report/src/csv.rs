//! CSV (RFC 4180) with a header line. Absent values are empty cells.

use crate::{
    format::{Format, TableWriter},
    frame,
    group::{Gather, Group, GroupWriter, Grouped},
    output::Output,
};
use kcap_analyze::table::TableSpec;
use polars::prelude::{CsvWriter, PolarsResult, SerWriter};
use polars_arrow::array::{MutablePlString, Utf8ViewArray};
use std::borrow::Cow;

/// CSV.
pub(crate) const FORMAT: Format =
    Format { name: "csv", suffix: "csv", doc: "CSV with a header line: for spreadsheets", create };

struct Writer(polars::io::csv::write::BatchedWriter<Output>);

fn create(output: Output, spec: TableSpec) -> PolarsResult<Box<dyn TableWriter>> {
    let schema = frame::typed_schema(&Gather::new(spec).take()?)?;
    Ok(Box::new(Grouped::new(spec, Writer(CsvWriter::new(output).n_threads(1).batched(&schema)?))))
}

impl GroupWriter for Writer {
    fn write(&mut self, group: &Group) -> PolarsResult<()> {
        self.0.write_batch(&frame::readable(group, neutralise_all)?)
    }

    fn finish(&mut self) -> PolarsResult<()> {
        self.0.finish()
    }
}

fn neutralise_all(texts: Utf8ViewArray) -> Utf8ViewArray {
    if !texts.non_null_values_iter().any(is_formula) {
        return texts;
    }
    MutablePlString::from_iterator(texts.iter().map(|text| text.map(neutralise))).freeze()
}

/// Puts an apostrophe before a text that a spreadsheet would take for a formula
/// (<https://owasp.org/www-community/attacks/CSV_Injection>).
fn neutralise(text: &str) -> Cow<'_, str> {
    if is_formula(text) { format!("'{text}").into() } else { text.into() }
}

fn is_formula(text: &str) -> bool {
    text.starts_with(['=', '+', '-', '@', '\t', '\r'])
}

#[cfg(test)]
mod tests {
    use super::neutralise;

    #[test]
    fn formulas_become_text_and_the_rest_stays() {
        for text in ["=1+1", "+cmd", "-2", "@SUM(A1)", "\t=1", "\r=1"] {
            assert_eq!(neutralise(text), format!("'{text}"));
        }
        for text in ["", "10.0.0.1", "a=b", "fe80::1"] {
            assert_eq!(neutralise(text), text);
        }
    }
}
