use crate::{arrow, csv, ndjson, output::Output, parquet};
use kcap_analyze::table::{Rows, TableSpec};
use polars::error::PolarsResult;

/// A file format of tables.
pub struct Format {
    /// What the user calls it.
    pub name: &'static str,
    /// Ending of its files, without the dot.
    pub suffix: &'static str,
    /// What it is good for, one line.
    pub doc: &'static str,
    /// Begins a file.
    pub(crate) create: fn(Output, TableSpec) -> PolarsResult<Box<dyn TableWriter>>,
}

/// The formats, the default one first.
pub const FORMATS: &[Format] = &[parquet::FORMAT, arrow::FORMAT, csv::FORMAT, ndjson::FORMAT];

impl Format {
    /// The format of that name.
    pub fn find(name: &str) -> Option<&'static Self> {
        FORMATS.iter().find(|format| format.name == name)
    }
}

/// One table's file while it is written. It does not depend on how its rows were batched.
pub(crate) trait TableWriter: Send {
    /// Appends rows; what it leaves of them is no concern of anybody.
    fn write(&mut self, rows: &mut Rows) -> PolarsResult<()>;

    /// Writes what is left, and what the format wants at the end.
    fn finish(&mut self) -> PolarsResult<()>;
}
