//! Pages and their compression.

use polars_parquet::{
    parquet::{
        CowBuffer,
        compression::Compression,
        metadata::Descriptor,
        page::{CompressedDataPage, CompressedDictPage, CompressedPage, DataPageHeader, DataPageHeaderV1},
        statistics::ParquetStatistics,
    },
    write::Encoding,
};
use std::io;

/// Higher levels cost twice the time for a few per cent of the bytes.
const LEVEL: i32 = 1;
/// Bytes from which on compression may save something. It is kept where it saves a quarter: what is packed already
/// seldom gives more, and trying is most of what a page costs.
const LARGE: usize = 1 << 10;

/// The least and the most of a page's values, as Parquet writes them.
pub(super) enum Bounds {
    /// There are no values.
    None,
    /// Known.
    Known(Vec<u8>, Vec<u8>),
    /// Those of the dictionary, when it is complete: wider than the page's own, but never wrong.
    OfDictionary,
}

impl Bounds {
    pub(super) fn are(min: impl AsRef<[u8]>, max: impl AsRef<[u8]>) -> Self {
        Self::Known(min.as_ref().to_vec(), max.as_ref().to_vec())
    }
}

/// What is told of encoded values.
pub(super) struct Body {
    pub(super) encoding: Encoding,
    pub(super) bounds: Bounds,
}

impl Body {
    /// No values.
    pub(super) const EMPTY: Self = Self { encoding: Encoding::Plain, bounds: Bounds::None };
}

/// A data page.
pub(super) struct Page {
    pub(super) body: Vec<u8>,
    /// Bytes before compression.
    pub(super) raw: usize,
    pub(super) rows: usize,
    pub(super) nulls: usize,
    pub(super) encoding: Encoding,
    pub(super) bounds: Bounds,
    /// Whether it is compressed.
    pub(super) packed: bool,
}

impl Page {
    /// The page as it is written; `bounds` are the dictionary's.
    pub(super) fn finish(self, descriptor: &Descriptor, bounds: Option<&(Vec<u8>, Vec<u8>)>) -> CompressedPage {
        let (min_value, max_value) = match self.bounds {
            Bounds::None => (None, None),
            Bounds::Known(min, max) => (Some(min), Some(max)),
            Bounds::OfDictionary => bounds.cloned().unzip(),
        };
        let statistics = ParquetStatistics {
            null_count: Some(self.nulls as i64),
            distinct_count: None,
            max: None,
            min: None,
            max_value,
            min_value,
            is_max_value_exact: None,
            is_min_value_exact: None,
        };
        let header = DataPageHeaderV1 {
            num_values: self.rows as i32,
            encoding: self.encoding.into(),
            definition_level_encoding: Encoding::Rle.into(),
            repetition_level_encoding: Encoding::Rle.into(),
            statistics: Some(statistics),
        };
        CompressedPage::Data(CompressedDataPage::new(
            DataPageHeader::V1(header),
            CowBuffer::Owned(self.body),
            codec(self.packed),
            self.raw,
            descriptor.clone(),
            self.rows,
        ))
    }
}

fn codec(packed: bool) -> Compression {
    if packed { Compression::Zstd } else { Compression::Uncompressed }
}

/// Compresses pages. What columns need while they make one is shared by all of a table.
pub(super) struct Packer {
    zstd: zstd::bulk::Compressor<'static>,
    body: Vec<u8>,
    keys: Vec<u32>,
    packed: Vec<u8>,
}

impl Packer {
    pub(super) fn new() -> io::Result<Self> {
        let zstd = zstd::bulk::Compressor::new(LEVEL)?;
        Ok(Self { zstd, body: Vec::new(), keys: Vec::new(), packed: Vec::new() })
    }

    /// No keys.
    pub(super) fn keys(&mut self) -> &mut Vec<u32> {
        self.keys.clear();
        &mut self.keys
    }

    /// An empty page.
    pub(super) fn body(&mut self) -> Vec<u8> {
        self.body.clear();
        std::mem::take(&mut self.body)
    }

    fn pack(&mut self, body: &[u8]) -> &[u8] {
        self.packed.clear();
        self.packed.reserve(zstd::zstd_safe::compress_bound(body.len()));
        // It fails where there is no room, and there is.
        let packed = self.zstd.compress_to_buffer(body, &mut self.packed);
        debug_assert!(packed.is_ok(), "{packed:?}");
        &self.packed
    }

    /// Adds a page to those of its column, compressed if they are; the first large one decides that.
    pub(super) fn keep(&mut self, mut page: Page, pages: &mut Vec<Page>, dictionary: usize) {
        page.raw = page.body.len();
        let is_open = pages.iter().all(|page| page.raw < LARGE);
        let is_packed = pages.iter().any(|page| page.packed);
        let body = std::mem::take(&mut page.body);
        page.body = if is_packed || is_open && body.len() >= LARGE {
            let packed = self.pack(&body);
            page.packed = is_packed || dictionary * 2 > body.len() || packed.len() * 4 <= body.len() * 3;
            if page.packed { packed.to_vec() } else { body.clone() }
        } else {
            body.clone()
        };
        if page.packed && !is_packed {
            for page in pages.iter_mut() {
                self.pack_small(page);
            }
        }
        self.body = body;
        pages.push(page);
    }

    fn pack_small(&mut self, page: &mut Page) {
        page.body = self.pack(&page.body).to_vec();
        page.packed = true;
    }

    /// The dictionary page.
    pub(super) fn dictionary(&mut self, page: &[u8], entries: usize, packed: bool) -> CompressedPage {
        let body = if packed { self.pack(page) } else { page }.to_vec();
        let body = CowBuffer::Owned(body);
        CompressedPage::Dict(CompressedDictPage::new(body, codec(packed), page.len(), entries, false))
    }
}
