use super::{Label, Row};
use crate::Addr;
use foldhash::fast::RandomState;
use std::collections::HashMap;

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

/// Values with absent ones marked.
#[derive(Clone, Debug, Default)]
pub struct Values<T> {
    values: Vec<T>,
    /// Rows without a value, ascending.
    nulls: Vec<u32>,
}

impl<T: Default> Values<T> {
    /// Appends a value.
    pub fn push(&mut self, value: T) {
        self.values.push(value);
    }

    fn push_null(&mut self) {
        self.nulls.push(self.values.len() as u32);
        self.values.push(T::default());
    }

    /// The values; absent ones hold the default.
    pub fn values(&self) -> &[T] {
        &self.values
    }

    /// The rows that have no value, ascending.
    pub fn nulls(&self) -> &[u32] {
        &self.nulls
    }

    /// Takes values and the rows that have none, ascending.
    pub fn into_parts(self) -> (Vec<T>, Vec<u32>) {
        (self.values, self.nulls)
    }
}

/// Texts one after the other.
#[derive(Clone, Debug, Default)]
pub struct Texts {
    bytes: String,
    ends: Vec<u32>,
    nulls: Vec<u32>,
}

impl Texts {
    /// Appends what `write` appends to the text so far.
    pub fn push_with(&mut self, write: impl FnOnce(&mut String)) {
        write(&mut self.bytes);
        self.ends.push(self.bytes.len() as u32);
    }

    fn push_null(&mut self) {
        self.nulls.push(self.ends.len() as u32);
        self.ends.push(self.bytes.len() as u32);
    }

    /// The texts, absent ones as `None`.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Option<&str>> {
        let mut nulls = self.nulls.iter().copied().peekable();
        let mut start = 0;
        self.ends.iter().enumerate().map(move |(row, &end)| {
            let text = &self.bytes[start..end as usize];
            start = end as usize;
            nulls.next_if_eq(&(row as u32)).is_none().then_some(text)
        })
    }
}

/// Texts of few distinct values: a dictionary and its keys.
#[derive(Clone, Debug, Default)]
pub struct Labels {
    keys: Values<u32>,
    dictionary: Vec<Label>,
    index: HashMap<String, u32, RandomState>,
    last: Option<(Label, u32)>,
}

impl Labels {
    /// Appends a text.
    pub fn push(&mut self, label: &Label) {
        let key = self.key(label);
        self.keys.push(key);
    }

    fn key(&mut self, label: &Label) -> u32 {
        if let Some((last, key)) = &self.last
            && same_place(last, label)
        {
            return *key;
        }
        let key = match self.index.get(label.as_str()) {
            Some(&key) => key,
            None => self.add(label),
        };
        self.last = Some((label.clone(), key));
        key
    }

    fn add(&mut self, label: &Label) -> u32 {
        let key = self.dictionary.len() as u32;
        self.index.insert(label.as_str().to_owned(), key);
        self.dictionary.push(label.clone());
        key
    }

    /// Keys into the dictionary.
    pub fn keys(&self) -> &Values<u32> {
        &self.keys
    }

    /// The distinct texts.
    pub fn dictionary(&self) -> &[Label] {
        &self.dictionary
    }

    /// The texts, absent ones as `None`.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Option<&str>> {
        let mut nulls = self.keys.nulls.iter().copied().peekable();
        self.keys.values.iter().enumerate().map(move |(row, &key)| {
            let absent = nulls.next_if_eq(&(row as u32)).is_some();
            self.dictionary.get(key as usize).filter(|_| !absent).map(Label::as_str)
        })
    }
}

/// Whether two labels are the same text in the same memory, which is quick to tell.
fn same_place(a: &Label, b: &Label) -> bool {
    std::ptr::eq(a.as_str(), b.as_str())
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

    pub(super) fn push_null(&mut self) {
        match self {
            Self::Int32(values) => values.push_null(),
            Self::Int64(values) | Self::Time(values) => values.push_null(),
            Self::Float64(values) => values.push_null(),
            Self::Bool(values) => values.push_null(),
            Self::Text(texts) => texts.push_null(),
            Self::Label(labels) => labels.keys.push_null(),
            Self::Addr(values) => values.push_null(),
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
        row.push(&mut self.columns);
        self.len += 1;
    }

    /// Takes the rows and leaves none.
    #[must_use]
    pub fn take(&mut self) -> Self {
        std::mem::replace(self, Self::new(self.spec))
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

    /// Takes the next rows of a table, in order.
    ///
    /// # Errors
    /// The rows cannot be written (full disk, closed pipe).
    fn write(&mut self, rows: Rows) -> Result<(), SinkError>;
}
