//! One column of a row group: its pages, encoded as they come, and its dictionary.

use super::{
    dictionary::{Addrs, Floats, Labels, Small, Texts},
    encode::{self, Int, width},
    page::{Body, Bounds, Packer, Page},
};
use kcap_analyze::table::{self, Column, ColumnSpec, ColumnType};
use polars_parquet::{
    parquet::{metadata::Descriptor, page::CompressedPage},
    write::Encoding,
};
use std::borrow::Cow;

/// Values that may have a dictionary.
#[derive(Default)]
struct Dictionary<D> {
    entries: D,
    /// Whether values do not repeat enough, so that the rest of the row group does without.
    given_up: bool,
}

/// What tells the types of columns apart.
enum Kind {
    Int32(Dictionary<Small<i32>>),
    Int64(Dictionary<Small<i64>>),
    Float64(Dictionary<Floats>),
    Bool,
    Text(Dictionary<Texts>),
    Label(Labels),
    Addr(Addrs),
}

/// The column as far as its row group has come.
pub(super) struct Chunk {
    descriptor: Descriptor,
    nullable: bool,
    kind: Kind,
    /// Rows so far.
    rows: usize,
    pages: Vec<Page>,
}

impl Chunk {
    pub(super) fn new(column: &ColumnSpec, descriptor: Descriptor) -> Self {
        let kind = match column.ty {
            ColumnType::Int32 => Kind::Int32(Dictionary::default()),
            ColumnType::Int64 | ColumnType::Time => Kind::Int64(Dictionary::default()),
            ColumnType::Float64 => Kind::Float64(Dictionary::default()),
            ColumnType::Bool => Kind::Bool,
            ColumnType::Text => Kind::Text(Dictionary::default()),
            ColumnType::Label => Kind::Label(Labels::default()),
            ColumnType::Addr => Kind::Addr(Addrs::default()),
        };
        Self { descriptor, nullable: column.nullable, kind, rows: 0, pages: Vec::new() }
    }

    /// Appends a page of a column of the same type; `Rows` keeps types and columns together.
    ///
    /// # Errors
    /// A value is missing that must be there.
    pub(super) fn push(&mut self, column: &Column, packer: &mut Packer) -> Result<(), &'static str> {
        let (len, nulls) = (column.len(), column.nulls());
        if !self.nullable && !nulls.is_empty() {
            return Err("a value is missing in a column that has no missing ones");
        }
        let mut body = packer.body();
        if self.nullable {
            encode::levels(nulls, len, &mut body);
        }
        let Body { encoding, bounds } = self.encode(column, packer.keys(), &mut body);
        self.rows += len;
        let page = Page { body, raw: 0, rows: len, nulls: nulls.len(), encoding, bounds, packed: false };
        self.keep(page, packer);
        Ok(())
    }

    fn encode(&mut self, column: &Column, keys: &mut Vec<u32>, out: &mut Vec<u8>) -> Body {
        let rows = self.rows;
        match (&mut self.kind, column) {
            (Kind::Int32(small), Column::Int32(from)) => integers(small, &present(from), rows, keys, out),
            (Kind::Int64(small), Column::Int64(from) | Column::Time(from)) => {
                integers(small, &present(from), rows, keys, out)
            }
            (Kind::Float64(known), Column::Float64(from)) => floats(known, &present(from), rows, keys, out),
            (Kind::Bool, Column::Bool(from)) => bools(&present(from), out),
            (Kind::Text(texts), Column::Text(from)) => text(texts, from, rows, keys, out),
            (Kind::Label(labels), Column::Label(from)) => {
                labels.begin(from.dictionary().len());
                let key = |old: &u32| labels.key(*old, || from.dictionary()[*old as usize].as_str());
                keys.extend(present(from.keys()).iter().map(key));
                repeating(keys, labels.texts.len(), out)
            }
            (Kind::Addr(addrs), Column::Addr(from)) => {
                keys.extend(present(from).iter().map(|addr| addrs.key(*addr)));
                repeating(keys, addrs.texts.len(), out)
            }
            // The page then has fewer values than its column, which readers refuse.
            _ => Body::EMPTY,
        }
    }

    fn texts(&self) -> Option<&Texts> {
        match &self.kind {
            Kind::Text(texts) => Some(&texts.entries),
            Kind::Label(labels) => Some(&labels.texts),
            Kind::Addr(addrs) => Some(&addrs.texts),
            _ => None,
        }
    }

    /// Keeps a page. A column is compressed, all of it, if that is worth its time for the first page with something in
    /// it, or for its dictionary.
    fn keep(&mut self, page: Page, packer: &mut Packer) {
        let dictionary = self.texts().map_or(0, |texts| texts.page.len());
        packer.keep(page, &mut self.pages, dictionary);
    }

    /// The pages, the dictionary first; begins the next row group.
    pub(super) fn finish(&mut self, packer: &mut Packer) -> Vec<CompressedPage> {
        let (entries, dictionary) = match &self.kind {
            Kind::Int32(small) => (small.entries.len(), Cow::Owned(small.entries.page())),
            Kind::Int64(small) => (small.entries.len(), Cow::Owned(small.entries.page())),
            Kind::Float64(known) => (known.entries.len(), Cow::Owned(known.entries.page())),
            _ => {
                self.texts().map_or((0, Cow::Owned(Vec::new())), |texts| (texts.len(), Cow::Borrowed(&texts.page[..])))
            }
        };
        let bounds = self.texts().and_then(Texts::bounds);
        let is_compressed = self.pages.iter().any(|page| page.packed);
        let first = (entries > 0).then(|| packer.dictionary(&dictionary, entries, is_compressed));
        let pages = self.pages.drain(..).map(|page| page.finish(&self.descriptor, bounds.as_ref()));
        let pages = first.into_iter().chain(pages).collect();
        self.clear();
        pages
    }

    fn clear(&mut self) {
        self.rows = 0;
        match &mut self.kind {
            Kind::Int32(small) => small.clear_with(Small::clear),
            Kind::Int64(small) => small.clear_with(Small::clear),
            Kind::Float64(known) => known.clear_with(Floats::clear),
            Kind::Text(texts) => texts.clear_with(Texts::clear),
            Kind::Label(labels) => labels.texts.clear(),
            Kind::Addr(addrs) => addrs.clear(),
            Kind::Bool => {}
        }
    }
}

impl<D> Dictionary<D> {
    fn clear_with(&mut self, clear: impl FnOnce(&mut D)) {
        clear(&mut self.entries);
        self.given_up = false;
    }
}

/// The values that are there.
fn present<T: Copy + Default>(from: &table::Values<T>) -> Cow<'_, [T]> {
    let (values, nulls) = (from.values(), from.nulls());
    if nulls.is_empty() {
        return values.into();
    }
    let mut present = Vec::with_capacity(values.len() - nulls.len());
    let mut start = 0;
    for row in nulls.iter().map(|row| *row as usize) {
        if row > start {
            present.extend_from_slice(&values[start..row]);
        }
        start = row + 1;
    }
    present.extend_from_slice(&values[start..]);
    present.into()
}

fn least_and_most<T: Copy + PartialOrd>(values: &[T]) -> Option<(T, T)> {
    let first = *values.first()?;
    let fold =
        |(min, max): (T, T), &value: &T| (if value < min { value } else { min }, if value > max { value } else { max });
    Some(values.iter().fold((first, first), fold))
}

/// Keys into a dictionary of `entries`; its bounds are known when it is complete.
fn repeating(keys: &[u32], entries: usize, out: &mut Vec<u8>) -> Body {
    if keys.is_empty() {
        return Body::EMPTY;
    }
    encode::keys(keys, width(entries.saturating_sub(1) as u64), out);
    Body { encoding: Encoding::RleDictionary, bounds: Bounds::OfDictionary }
}

/// One key for all values.
fn constant(key: u32, values: usize, entries: usize, out: &mut Vec<u8>) -> Body {
    encode::same_key(key, values, width(entries.saturating_sub(1) as u64), out);
    Body { encoding: Encoding::RleDictionary, bounds: Bounds::OfDictionary }
}

fn integers<T: Int>(
    small: &mut Dictionary<Small<T>>,
    values: &[T],
    rows: usize,
    keys: &mut Vec<u32>,
    out: &mut Vec<u8>,
) -> Body {
    let Some((min, max)) = least_and_most(values) else { return Body::EMPTY };
    let bounds = Bounds::are(min.bytes(), max.bytes());
    let takes = !small.given_up && Small::takes(min, max);
    if takes && min == max {
        let key = small.entries.only_key(min);
        return Body { bounds, ..constant(key, values.len(), small.entries.len(), out) };
    }
    if takes {
        small.given_up = !small.entries.keys(values, max, rows, keys);
        if !small.given_up {
            return Body { bounds, ..repeating(keys, small.entries.len(), out) };
        }
    }
    encode::delta(values, out);
    Body { encoding: Encoding::DeltaBinaryPacked, bounds }
}

fn floats(known: &mut Dictionary<Floats>, values: &[f64], rows: usize, keys: &mut Vec<u32>, out: &mut Vec<u8>) -> Body {
    let Some(least_and_most) = least_and_most(values) else { return Body::EMPTY };
    // Where some value is not a number, its place among the others is not defined; zero has two signs that are equal.
    let (min, max) = match least_and_most {
        _ if values.iter().any(|value| value.is_nan()) => (f64::NEG_INFINITY, f64::INFINITY),
        (min, max) => (if min == 0.0 { -0.0 } else { min }, if max == 0.0 { 0.0 } else { max }),
    };
    let bounds = Bounds::are(min.to_le_bytes(), max.to_le_bytes());
    // Bits, not values: zero has two.
    if !known.given_up && values.iter().all(|value| value.to_bits() == values[0].to_bits()) {
        let key = known.entries.key(values[0]);
        return Body { bounds, ..constant(key, values.len(), known.entries.len(), out) };
    }
    if !known.given_up {
        known.given_up = !known.entries.keys(values, rows, keys);
        if !known.given_up {
            return Body { bounds, ..repeating(keys, known.entries.len(), out) };
        }
    }
    encode::floats(values, out);
    Body { encoding: Encoding::Plain, bounds }
}

fn bools(values: &[bool], out: &mut Vec<u8>) -> Body {
    encode::bools(values, out);
    let bounds = least_and_most(values).map_or(Bounds::None, |(min, max)| Bounds::are([min.into()], [max.into()]));
    Body { encoding: Encoding::Plain, bounds }
}

fn text(
    texts: &mut Dictionary<Texts>,
    from: &table::Texts,
    rows: usize,
    keys: &mut Vec<u32>,
    out: &mut Vec<u8>,
) -> Body {
    if !texts.given_up {
        texts.given_up = !texts.entries.keys(from.iter(), rows, keys);
        if !texts.given_up {
            return repeating(keys, texts.entries.len(), out);
        }
    }
    let present = || from.iter().flatten();
    present().for_each(|text| encode::text(text, out));
    let bounds = present().min().zip(present().max());
    let bounds = bounds.map_or(Bounds::None, |(min, max)| Bounds::are(min, max));
    Body { encoding: Encoding::Plain, bounds }
}
