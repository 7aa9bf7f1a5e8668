use super::Row;
use super::values::{Labels, Texts, Values};
use crate::Addr;
use std::ops::Range;

/// The types of columns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ColumnType {
    /// 32-bit signed.
    Int32,
    /// 64-bit signed.
    Int64,
    /// 64-bit float.
    Float64,
    /// Boolean.
    Bool,
    /// UTF-8.
    Text,
    /// UTF-8 of few distinct values.
    Label,
    /// Microseconds since the epoch, UTC.
    Time,
    /// An IP address; UTF-8 in files.
    Addr,
}

/// One column of a table.
#[derive(Clone, Copy, Debug)]
pub struct ColumnSpec {
    /// Name, with its unit.
    pub name: &'static str,
    /// Type.
    pub ty: ColumnType,
    /// Whether cells may be absent.
    pub nullable: bool,
    /// Meaning and unit.
    pub doc: &'static str,
}

/// One table.
#[derive(Clone, Copy, Debug)]
pub struct TableSpec {
    /// Name, which names its file.
    pub name: &'static str,
    /// What a row is.
    pub doc: &'static str,
    /// Columns in order.
    pub columns: &'static [ColumnSpec],
}

/// Cells of a batch of rows: enough to encode and compress well, few enough that all tables together stay in some tens of
/// megabytes.
const BATCH_CELLS: usize = 3 << 16;

/// Rows of batches of very wide and very narrow tables.
const BATCH_ROWS: Range<usize> = 4 << 10..16 << 10;

/// Many tables have no more rows: room for a batch is made when one has.
const FEW: usize = 256;

impl TableSpec {
    /// Rows that are handed to a sink at a time, but for the last ones.
    pub fn batch_rows(&self) -> usize {
        (BATCH_CELLS / self.columns.len().max(1)).clamp(BATCH_ROWS.start, BATCH_ROWS.end)
    }
}

/// One column of values.
#[derive(Clone, Debug)]
pub enum Column {
    /// See [`ColumnType::Int32`].
    Int32(Values<i32>),
    /// See [`ColumnType::Int64`].
    Int64(Values<i64>),
    /// See [`ColumnType::Float64`].
    Float64(Values<f64>),
    /// See [`ColumnType::Bool`].
    Bool(Values<bool>),
    /// See [`ColumnType::Text`].
    Text(Texts),
    /// See [`ColumnType::Label`].
    Label(Labels),
    /// See [`ColumnType::Time`].
    Time(Values<i64>),
    /// See [`ColumnType::Addr`].
    Addr(Values<Addr>),
}

impl Column {
    fn new(ty: ColumnType) -> Self {
        match ty {
            ColumnType::Int32 => Self::Int32(Values::default()),
            ColumnType::Int64 => Self::Int64(Values::default()),
            ColumnType::Float64 => Self::Float64(Values::default()),
            ColumnType::Bool => Self::Bool(Values::default()),
            ColumnType::Text => Self::Text(Texts::default()),
            ColumnType::Label => Self::Label(Labels::default()),
            ColumnType::Time => Self::Time(Values::default()),
            ColumnType::Addr => Self::Addr(Values::default()),
        }
    }

    /// Cells.
    pub fn len(&self) -> usize {
        match self {
            Self::Int32(values) => values.values().len(),
            Self::Int64(values) | Self::Time(values) => values.values().len(),
            Self::Float64(values) => values.values().len(),
            Self::Bool(values) => values.values().len(),
            Self::Text(texts) => texts.len(),
            Self::Label(labels) => labels.keys().values().len(),
            Self::Addr(values) => values.values().len(),
        }
    }

    /// Whether there are no cells.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The rows that have no value, ascending.
    pub fn nulls(&self) -> &[u32] {
        match self {
            Self::Int32(values) => values.nulls(),
            Self::Int64(values) | Self::Time(values) => values.nulls(),
            Self::Float64(values) => values.nulls(),
            Self::Bool(values) => values.nulls(),
            Self::Text(texts) => texts.nulls(),
            Self::Label(labels) => labels.keys().nulls(),
            Self::Addr(values) => values.nulls(),
        }
    }

    /// Appends some cells of a column of the same type; of another they are left out.
    fn append(&mut self, from: &Self, range: Range<usize>) {
        match (self, from) {
            (Self::Int32(to), Self::Int32(from)) => to.append(from, range),
            (Self::Int64(to), Self::Int64(from)) | (Self::Time(to), Self::Time(from)) => to.append(from, range),
            (Self::Float64(to), Self::Float64(from)) => to.append(from, range),
            (Self::Bool(to), Self::Bool(from)) => to.append(from, range),
            (Self::Text(to), Self::Text(from)) => to.append(from, range),
            (Self::Label(to), Self::Label(from)) => to.append(from, range),
            (Self::Addr(to), Self::Addr(from)) => to.append(from, range),
            _ => {}
        }
    }

    fn clear(&mut self) {
        match self {
            Self::Int32(values) => values.clear(),
            Self::Int64(values) | Self::Time(values) => values.clear(),
            Self::Float64(values) => values.clear(),
            Self::Bool(values) => values.clear(),
            Self::Text(texts) => texts.clear(),
            Self::Label(labels) => labels.clear(),
            Self::Addr(values) => values.clear(),
        }
    }

    /// Makes room, so that rows that come are not copied as it grows; memory that is not written to costs nothing.
    fn reserve(&mut self, len: usize) {
        match self {
            Self::Int32(values) => values.reserve(len),
            Self::Int64(values) | Self::Time(values) => values.reserve(len),
            Self::Float64(values) => values.reserve(len),
            Self::Bool(values) => values.reserve(len),
            Self::Text(texts) => texts.reserve(len),
            Self::Label(labels) => labels.reserve(len),
            Self::Addr(values) => values.reserve(len),
        }
    }
}

/// Rows of one table, as columns.
#[derive(Clone, Debug)]
pub struct Rows {
    /// The table.
    pub spec: TableSpec,
    /// Its columns, in order, all of the same length.
    pub columns: Vec<Column>,
    /// Rows.
    pub len: usize,
}

impl Rows {
    /// No rows of a table.
    pub fn new(spec: TableSpec) -> Self {
        Self { spec, columns: spec.columns.iter().map(|column| Column::new(column.ty)).collect(), len: 0 }
    }

    /// Appends a row, which is of this table.
    pub fn push<R: Row>(&mut self, row: &R) {
        match self.len {
            0 => self.reserve(FEW),
            FEW => self.reserve(self.spec.batch_rows() - FEW),
            _ => {}
        }
        row.push(&mut self.columns);
        self.len += 1;
    }

    /// Makes room for so many more rows.
    pub(crate) fn reserve(&mut self, rows: usize) {
        self.columns.iter_mut().for_each(|column| column.reserve(rows));
    }

    /// Appends rows of the same table from `start` on, until there are `full`; returns where it stopped.
    pub fn append(&mut self, rows: &Self, start: usize, full: usize) -> usize {
        let end = rows.len.min(start + full.saturating_sub(self.len));
        for (to, from) in self.columns.iter_mut().zip(&rows.columns) {
            to.append(from, start..end);
        }
        self.len += end - start;
        end
    }

    /// Removes all rows and keeps their memory.
    pub fn clear(&mut self) {
        self.columns.iter_mut().for_each(Column::clear);
        self.len = 0;
    }
}

/// Why a sink could not take rows.
#[derive(Debug, thiserror::Error)]
#[error("write table {table}: {source}")]
pub struct SinkError {
    /// The table.
    pub table: &'static str,
    /// Cause.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// Where rows go.
pub trait Sink {
    /// Whether rows of this table are wanted; the others need not be made.
    fn wants(&self, table: &str) -> bool;

    /// Takes the next rows of a table, in order: [`TableSpec::batch_rows`] of them, fewer at the end. The caller clears
    /// what is left of them.
    ///
    /// # Errors
    /// The rows cannot be written (full disk, closed pipe).
    fn write(&mut self, rows: &mut Rows) -> Result<(), SinkError>;
}

/// A sink that wants nothing.
pub struct Null;

impl Sink for Null {
    fn wants(&self, _: &str) -> bool {
        false
    }

    fn write(&mut self, _: &mut Rows) -> Result<(), SinkError> {
        Ok(())
    }
}
