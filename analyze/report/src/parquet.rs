//! Parquet (<https://parquet.apache.org/docs/file-format/>), zstd, a row group a write.
//!
//! Below polars' frame writer, which tries a dictionary for every column: that costs more than half of the time on
//! columns where every value differs. The Arrow schema in the metadata says plain strings, where polars would say string
//! views, which older readers do not know.

use crate::{
    format::{Format, TableWriter},
    group::{Group, arrow_type},
    output::Output,
};
use kcap_analyze::table::{ColumnSpec, SCHEMA_VERSION, TableSpec};
use polars::{
    error::{PolarsError, PolarsResult},
    polars_utils::compression::ZstdLevel,
};
use polars_arrow::{
    array::{Array, PrimitiveArray},
    datatypes::{ArrowDataType, ArrowSchema, Field},
};
use polars_parquet::{
    read::ParquetError,
    write::{
        CompressedPage, CompressionOptions, Compressor, DynIter, DynStreamingIterator, Encoding,
        FallibleStreamingIterator, FileWriter, KeyValue, Page, ParquetType, StatisticsOptions, Version, WriteOptions,
        array_to_columns, schema_to_metadata_key,
    },
};

/// Parquet.
pub(crate) const FORMAT: Format =
    Format { name: "parquet", suffix: "parquet", doc: "Parquet, zstd: for DuckDB, Spark, pandas, polars", create };

type Pages = DynIter<'static, PolarsResult<Page>>;
type CompressedPages = DynStreamingIterator<'static, CompressedPage, PolarsError>;

struct Writer {
    file: FileWriter<Output>,
    options: WriteOptions,
    metadata: Vec<KeyValue>,
}

fn create(output: Output, spec: TableSpec) -> PolarsResult<Box<dyn TableWriter>> {
    let options = WriteOptions {
        statistics: StatisticsOptions::default(),
        version: Version::V1,
        // Higher levels cost twice the time for a few per cent of the bytes.
        compression: CompressionOptions::Zstd(Some(ZstdLevel::try_new(1)?)),
        data_page_size: None,
    };
    let schema = schema(&spec);
    let version = KeyValue { key: "kcap.schema".into(), value: Some(SCHEMA_VERSION.into()) };
    let metadata = vec![version, schema_to_metadata_key(&schema)];
    Ok(Box::new(Writer { file: FileWriter::try_new(output, schema, options)?, options, metadata }))
}

fn schema(spec: &TableSpec) -> ArrowSchema {
    let field = |column: &ColumnSpec| {
        let ty = match arrow_type(column.ty) {
            ArrowDataType::Utf8View => ArrowDataType::Utf8,
            other => other,
        };
        (column.name.into(), Field::new(column.name.into(), ty, column.nullable))
    };
    spec.columns.iter().map(field).collect()
}

impl TableWriter for Writer {
    fn write(&mut self, group: &Group) -> PolarsResult<()> {
        let types = self.file.parquet_schema().fields().to_vec();
        let columns = group.arrays.iter().zip(types).map(|(array, ty)| column(array.as_ref(), ty, self.options));
        let columns = columns.collect::<PolarsResult<Vec<_>>>()?;
        self.file.write(group.len as u64, DynIter::new(columns.into_iter().map(Ok)))
    }

    fn finish(&mut self) -> PolarsResult<()> {
        self.file.end(Some(std::mem::take(&mut self.metadata))).map(drop)
    }
}

/// One column's pages, encoded here and compressed as they are written.
fn column(array: &dyn Array, ty: ParquetType, options: WriteOptions) -> PolarsResult<CompressedPages> {
    let pages = array_to_columns(array, ty, options, &[encoding(array)])?.into_iter().next();
    let pages = pages.unwrap_or_else(|| Pages::new(std::iter::empty()));
    let pages = pages.map(|page| page.map_err(|error| ParquetError::FeatureNotSupported(error.to_string())));
    let compressed = Compressor::new_from_vec(pages, options.compression, Vec::new());
    Ok(DynStreamingIterator::new(compressed.map_err(PolarsError::from)))
}

/// The encoding that suits a column's values. A dictionary is only tried where values are known to repeat: building
/// one and throwing it away is the dear part of writing.
fn encoding(array: &dyn Array) -> Encoding {
    let any = array.as_any();
    if let Some(array) = any.downcast_ref::<PrimitiveArray<i64>>() {
        integers(array.values().iter().copied())
    } else if let Some(array) = any.downcast_ref::<PrimitiveArray<i32>>() {
        integers(array.values().iter().copied().map(i64::from))
    } else if any.is::<polars_arrow::array::BooleanArray>() || any.is::<PrimitiveArray<f64>>() {
        Encoding::Plain
    } else {
        Encoding::RleDictionary
    }
}

fn integers(values: impl Iterator<Item = i64> + Clone) -> Encoding {
    /// polars makes dictionaries of ranges up to this without hashing.
    const CHEAP_DICTIONARY: u64 = 1 << 16;
    let (min, max) = values.clone().fold((i64::MAX, i64::MIN), |(min, max), value| (min.min(value), max.max(value)));
    if max.abs_diff(min) < CHEAP_DICTIONARY || min > max {
        Encoding::RleDictionary
    } else if ascends(values) {
        Encoding::DeltaBinaryPacked
    } else {
        Encoding::Plain
    }
}

/// Whether the values nearly always ascend, as times and frame numbers do.
fn ascends(values: impl Iterator<Item = i64> + Clone) -> bool {
    let (steps, down) = values
        .clone()
        .zip(values.skip(1))
        .fold((0_usize, 0_usize), |(steps, down), (a, b)| (steps + 1, down + usize::from(b < a)));
    down * 16 <= steps
}
