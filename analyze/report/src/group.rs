//! Row groups: gathers the engine's columns, whatever their length, and cuts them by row count only, so that files do
//! not depend on how the engine batched its rows.

use crate::format::TableWriter;
use foldhash::fast::RandomState;
use kcap_analyze::{
    Addr,
    table::{Column, ColumnSpec, ColumnType, Labels, Rows, TableSpec, Texts, Values},
};
use polars::error::PolarsResult;
use polars_arrow::{
    array::{Array, BooleanArray, DictionaryArray, MutablePlString, PrimitiveArray, Utf8ViewArray},
    bitmap::{Bitmap, MutableBitmap},
    datatypes::{ArrowDataType, IntegerType, TimeUnit},
    types::NativeType,
};
use std::{collections::HashMap, fmt::Write as _, ops::Range};

/// Cells of a row group: enough to compress well, few enough that all tables together stay small in memory.
const GROUP_CELLS: usize = 1 << 21;

/// Row groups of very wide and very narrow tables.
const GROUP_ROWS: Range<usize> = 16 << 10..128 << 10;

/// Rows of one table, ready to be encoded.
pub(crate) struct Group {
    pub(crate) spec: TableSpec,
    /// One array a column: integers, floats, booleans, texts as `Utf8View`, labels and addresses as dictionaries of
    /// it, times as UTC microseconds.
    pub(crate) arrays: Vec<Box<dyn Array>>,
    pub(crate) len: usize,
}

/// What encodes whole row groups.
pub(crate) trait GroupWriter: Send {
    /// Appends a row group.
    fn write(&mut self, group: &Group) -> PolarsResult<()>;

    /// Writes what the format wants at the end.
    fn finish(&mut self) -> PolarsResult<()>;
}

/// A table's file that is written in row groups.
pub(crate) struct Grouped<W> {
    rows: Gather,
    writer: W,
}

impl<W: GroupWriter> Grouped<W> {
    pub(crate) fn new(spec: TableSpec, writer: W) -> Self {
        Self { rows: Gather::new(spec), writer }
    }

    fn flush(&mut self) -> PolarsResult<()> {
        self.writer.write(&self.rows.take()?)
    }
}

impl<W: GroupWriter> TableWriter for Grouped<W> {
    fn write(&mut self, rows: &mut Rows) -> PolarsResult<()> {
        let mut next = 0;
        while next < rows.len {
            next = self.rows.append(rows, next);
            if self.rows.is_full() {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn finish(&mut self) -> PolarsResult<()> {
        if !self.rows.is_empty() {
            self.flush()?;
        }
        self.writer.finish()
    }
}

/// Gathers rows until a row group is full.
pub(crate) struct Gather {
    spec: TableSpec,
    columns: Vec<Builder>,
    len: usize,
    full: usize,
}

impl Gather {
    pub(crate) fn new(spec: TableSpec) -> Self {
        let full = (GROUP_CELLS / spec.columns.len().max(1)).clamp(GROUP_ROWS.start, GROUP_ROWS.end);
        Self { spec, columns: builders(&spec, full), len: 0, full }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn is_full(&self) -> bool {
        self.len == self.full
    }

    /// Appends the rows from `start` on until the group is full; returns where it stopped.
    pub(crate) fn append(&mut self, rows: &Rows, start: usize) -> usize {
        let end = rows.len.min(start + self.full - self.len);
        for (builder, column) in self.columns.iter_mut().zip(&rows.columns) {
            builder.append(column, start..end);
        }
        self.len += end - start;
        end
    }

    /// Takes what was gathered.
    pub(crate) fn take(&mut self) -> PolarsResult<Group> {
        let columns = std::mem::replace(&mut self.columns, builders(&self.spec, self.full));
        let arrays = columns.into_iter().map(Builder::finish).collect::<PolarsResult<_>>()?;
        Ok(Group { spec: self.spec, arrays, len: std::mem::take(&mut self.len) })
    }
}

fn builders(spec: &TableSpec, full: usize) -> Vec<Builder> {
    spec.columns.iter().map(|column| Builder::new(column, full)).collect()
}

/// Arrow's type of a column.
pub(crate) fn arrow_type(ty: ColumnType) -> ArrowDataType {
    match ty {
        ColumnType::Int32 => ArrowDataType::Int32,
        ColumnType::Int64 => ArrowDataType::Int64,
        ColumnType::Float64 => ArrowDataType::Float64,
        ColumnType::Bool => ArrowDataType::Boolean,
        ColumnType::Text | ColumnType::Label | ColumnType::Addr => ArrowDataType::Utf8View,
        ColumnType::Time => ArrowDataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
    }
}

/// Fixed-size values of a column.
struct Plain<T> {
    ty: ColumnType,
    values: Vec<T>,
    nulls: Vec<u32>,
    /// Values of a full row group.
    full: usize,
}

impl<T: Copy> Plain<T> {
    fn new(ty: ColumnType, full: usize) -> Self {
        Self { ty, values: Vec::new(), nulls: Vec::new(), full }
    }

    /// Makes room for the whole row group at its first value: growing would copy, and pages that are not written to
    /// take no memory.
    fn reserve(&mut self) {
        if self.values.is_empty() {
            self.values.reserve_exact(self.full);
        }
    }

    fn append(&mut self, from: &Values<T>, range: Range<usize>)
    where
        T: Default,
    {
        self.reserve();
        let shift = self.values.len();
        self.nulls.extend(nulls_within(from.nulls(), &range).map(|row| (row - range.start + shift) as u32));
        self.values.extend_from_slice(&from.values()[range]);
    }
}

impl<T: NativeType> Plain<T> {
    fn finish(self) -> Box<dyn Array> {
        let validity = validity(&self.nulls, self.values.len());
        PrimitiveArray::new(arrow_type(self.ty), self.values.into(), validity).boxed()
    }
}

fn nulls_within<'a>(nulls: &'a [u32], range: &Range<usize>) -> impl Iterator<Item = usize> + use<'a> {
    let start = nulls.partition_point(|&row| (row as usize) < range.start);
    let end = nulls.partition_point(|&row| (row as usize) < range.end);
    nulls[start..end].iter().map(|&row| row as usize)
}

fn validity(nulls: &[u32], len: usize) -> Option<Bitmap> {
    if nulls.is_empty() {
        return None;
    }
    let mut bits = MutableBitmap::from_len_set(len);
    for &row in nulls {
        bits.set(row as usize, false);
    }
    Some(bits.into())
}

/// Texts that repeat, as keys into a dictionary of the row group's own.
struct Dictionary {
    keys: Plain<u32>,
    texts: MutablePlString,
}

impl Dictionary {
    fn new(ty: ColumnType, full: usize) -> Self {
        Self { keys: Plain::new(ty, full), texts: MutablePlString::new() }
    }

    /// Appends values; `key` finds a value's key, or makes one for its text.
    fn append<T: Copy + Default>(
        &mut self,
        from: &Values<T>,
        range: Range<usize>,
        mut key: impl FnMut(&mut MutablePlString, T) -> u32,
    ) {
        let shift = self.keys.values.len();
        let values = &from.values()[range.clone()];
        let mut nulls = nulls_within(from.nulls(), &range).map(|row| row - range.start).peekable();
        self.keys.reserve();
        for (row, &value) in values.iter().enumerate() {
            let absent = nulls.next_if_eq(&row).is_some();
            if absent {
                self.keys.nulls.push((shift + row) as u32);
            }
            self.keys.values.push(if absent { 0 } else { key(&mut self.texts, value) });
        }
    }

    fn finish(mut self) -> PolarsResult<Box<dyn Array>> {
        // Absent rows hold key 0, which has to exist.
        if self.texts.len() == 0 {
            self.texts.push_value("");
        }
        let validity = validity(&self.keys.nulls, self.keys.values.len());
        let keys = PrimitiveArray::new(ArrowDataType::UInt32, self.keys.values.into(), validity);
        let ty = ArrowDataType::Dictionary(IntegerType::UInt32, Box::new(ArrowDataType::Utf8View), false);
        Ok(DictionaryArray::try_new(ty, keys, self.texts.freeze().boxed())?.boxed())
    }
}

/// Labels: the engine's dictionary is that of a batch, so its keys are translated.
struct LabelBuilder {
    dictionary: Dictionary,
    index: HashMap<String, u32, RandomState>,
}

impl LabelBuilder {
    fn append(&mut self, from: &Labels, range: Range<usize>) {
        const UNKNOWN: u32 = u32::MAX;
        let mut known = vec![UNKNOWN; from.dictionary().len()];
        self.dictionary.append(from.keys(), range, |texts, old| {
            let known = &mut known[old as usize];
            if *known == UNKNOWN {
                *known = label_key(&mut self.index, texts, from.dictionary()[old as usize].as_str());
            }
            *known
        });
    }
}

fn label_key(index: &mut HashMap<String, u32, RandomState>, texts: &mut MutablePlString, text: &str) -> u32 {
    if let Some(&key) = index.get(text) {
        return key;
    }
    let key = texts.len() as u32;
    texts.push_value(text);
    index.insert(text.to_owned(), key);
    key
}

/// Addresses: each is made a text once in a row group.
struct AddrBuilder {
    dictionary: Dictionary,
    index: HashMap<Addr, u32, RandomState>,
    text: String,
}

impl AddrBuilder {
    fn append(&mut self, from: &Values<Addr>, range: Range<usize>) {
        self.dictionary.append(from, range, |texts, addr| {
            if let Some(&key) = self.index.get(&addr) {
                return key;
            }
            let key = texts.len() as u32;
            self.text.clear();
            let _ = write!(self.text, "{addr}");
            texts.push_value(&self.text);
            self.index.insert(addr, key);
            key
        });
    }
}

enum Builder {
    Int32(Plain<i32>),
    Int64(Plain<i64>),
    Float64(Plain<f64>),
    Bool(Plain<bool>),
    Text(MutablePlString),
    Label(LabelBuilder),
    Addr(AddrBuilder),
}

impl Builder {
    fn new(column: &ColumnSpec, full: usize) -> Self {
        match column.ty {
            ColumnType::Int32 => Self::Int32(Plain::new(column.ty, full)),
            ColumnType::Int64 | ColumnType::Time => Self::Int64(Plain::new(column.ty, full)),
            ColumnType::Float64 => Self::Float64(Plain::new(column.ty, full)),
            ColumnType::Bool => Self::Bool(Plain::new(column.ty, full)),
            ColumnType::Text => Self::Text(MutablePlString::new()),
            ColumnType::Label => {
                Self::Label(LabelBuilder { dictionary: Dictionary::new(column.ty, full), index: HashMap::default() })
            }
            ColumnType::Addr => Self::Addr(AddrBuilder {
                dictionary: Dictionary::new(column.ty, full),
                index: HashMap::default(),
                text: String::new(),
            }),
        }
    }

    /// Appends a range of a column of the same type; [`Rows`] keeps types and columns together.
    fn append(&mut self, column: &Column, range: Range<usize>) {
        match (self, column) {
            (Self::Int32(to), Column::Int32(from)) => to.append(from, range),
            (Self::Int64(to), Column::Int64(from) | Column::Time(from)) => to.append(from, range),
            (Self::Float64(to), Column::Float64(from)) => to.append(from, range),
            (Self::Bool(to), Column::Bool(from)) => to.append(from, range),
            (Self::Text(to), Column::Text(from)) => append_texts(to, from, range),
            (Self::Label(to), Column::Label(from)) => to.append(from, range),
            (Self::Addr(to), Column::Addr(from)) => to.append(from, range),
            // Encoders refuse columns of unequal length.
            _ => debug_assert!(false, "rows have the columns of their table"),
        }
    }

    fn finish(self) -> PolarsResult<Box<dyn Array>> {
        Ok(match self {
            Self::Int32(plain) => plain.finish(),
            Self::Int64(plain) => plain.finish(),
            Self::Float64(plain) => plain.finish(),
            Self::Bool(plain) => {
                let validity = validity(&plain.nulls, plain.values.len());
                BooleanArray::new(ArrowDataType::Boolean, plain.values.into(), validity).boxed()
            }
            Self::Text(texts) => texts.freeze().boxed(),
            Self::Label(labels) => labels.dictionary.finish()?,
            Self::Addr(addrs) => addrs.dictionary.finish()?,
        })
    }
}

fn append_texts(to: &mut MutablePlString, from: &Texts, range: Range<usize>) {
    for text in from.iter().skip(range.start).take(range.len()) {
        to.push(text);
    }
}

/// A column of labels or addresses as texts, for formats without dictionaries.
pub(crate) fn plain_texts(array: &dyn Array) -> Option<Utf8ViewArray> {
    let labels = array.as_any().downcast_ref::<DictionaryArray<u32>>()?;
    let texts = labels.values().as_any().downcast_ref::<Utf8ViewArray>()?;
    let keys = labels.keys().iter();
    Some(MutablePlString::from_iterator(keys.map(|key| texts.get(*key? as usize))).freeze())
}
