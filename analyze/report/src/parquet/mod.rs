//! Parquet (<https://parquet.apache.org/docs/file-format/>), zstd. Rows are encoded page by page as they come, so a row
//! group waits in its compressed form.
//!
//! Encoded here, and only put in a file by polars: its encoders look at every value several times, and half of their time
//! is trying dictionaries on columns where every value differs. The Arrow schema in the metadata says plain strings,
//! where polars would say string views, which older readers do not know.

mod chunk;
mod dictionary;
mod encode;
mod page;

use crate::{
    format::{Format, TableWriter},
    group::arrow_type,
    output::Output,
};
use chunk::Chunk;
use kcap_analyze::table::{ColumnSpec, Rows, SCHEMA_VERSION, TableSpec};
use page::Packer;
use polars::error::{PolarsError, PolarsResult};
use polars_arrow::datatypes::{ArrowDataType, ArrowSchema, Field};
use polars_parquet::write::{
    CompressedPage, CompressionOptions, DynIter, DynStreamingIterator, FileWriter, KeyValue, StatisticsOptions,
    Version, WriteOptions, fallible_streaming_iterator::convert, schema_to_metadata_key,
};

/// Parquet.
pub(crate) const FORMAT: Format =
    Format { name: "parquet", suffix: "parquet", doc: "Parquet, zstd: for DuckDB, Spark, pandas, polars", create };

/// Pages of a row group: enough rows that readers skip little, and dictionaries are written once for many.
const PAGES: usize = 16;

struct Writer {
    file: FileWriter<Output>,
    metadata: Vec<KeyValue>,
    columns: Vec<Chunk>,
    packer: Packer,
    /// Rows that are no page yet.
    pending: Rows,
    /// Pages and rows of the row group so far.
    pages: usize,
    rows: usize,
}

fn create(output: Output, spec: TableSpec) -> PolarsResult<Box<dyn TableWriter>> {
    let options = WriteOptions {
        statistics: StatisticsOptions::default(),
        version: Version::V1,
        // Pages come compressed.
        compression: CompressionOptions::Uncompressed,
        data_page_size: None,
    };
    let schema = schema(&spec);
    let version = KeyValue { key: "kcap.schema".into(), value: Some(SCHEMA_VERSION.into()) };
    let metadata = vec![version, schema_to_metadata_key(&schema)];
    let file = FileWriter::try_new(output, schema, options)?;
    let descriptors = file.parquet_schema().columns().iter().map(|column| column.descriptor.clone());
    let columns = spec.columns.iter().zip(descriptors).map(|(column, descriptor)| Chunk::new(column, descriptor));
    let columns = columns.collect();
    let packer = Packer::new()?;
    Ok(Box::new(Writer { file, metadata, columns, packer, pending: Rows::new(spec), pages: 0, rows: 0 }))
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
    fn write(&mut self, rows: &mut Rows) -> PolarsResult<()> {
        let full = rows.spec.batch_rows();
        if self.pending.len == 0 && rows.len <= full {
            if rows.len == full {
                return self.page(rows);
            }
            std::mem::swap(&mut self.pending, rows);
            return Ok(());
        }
        let mut next = 0;
        while next < rows.len {
            next = self.pending.append(rows, next, full);
            if self.pending.len == full {
                self.pending_page()?;
            }
        }
        Ok(())
    }

    fn finish(&mut self) -> PolarsResult<()> {
        if self.pending.len > 0 {
            self.pending_page()?;
        }
        if self.pages > 0 {
            self.group()?;
        }
        self.file.end(Some(std::mem::take(&mut self.metadata))).map(drop)
    }
}

impl Writer {
    fn pending_page(&mut self) -> PolarsResult<()> {
        let none = Rows::new(self.pending.spec);
        let mut rows = std::mem::replace(&mut self.pending, none);
        let written = self.page(&rows);
        rows.clear();
        self.pending = rows;
        written
    }

    /// Makes the rows the next page of every column.
    fn page(&mut self, rows: &Rows) -> PolarsResult<()> {
        for (chunk, column) in self.columns.iter_mut().zip(&rows.columns) {
            chunk.push(column, &mut self.packer).map_err(|error| PolarsError::ComputeError(error.into()))?;
        }
        (self.pages, self.rows) = (self.pages + 1, self.rows + rows.len);
        if self.pages == PAGES { self.group() } else { Ok(()) }
    }

    /// Writes the row group.
    fn group(&mut self) -> PolarsResult<()> {
        let packer = &mut self.packer;
        let columns: Vec<Vec<CompressedPage>> = self.columns.iter_mut().map(|column| column.finish(packer)).collect();
        let rows = std::mem::take(&mut self.rows);
        self.pages = 0;
        self.file.write(rows as u64, DynIter::new(columns.iter().map(|column| Ok(streaming(column)))))
    }
}

fn streaming(pages: &[CompressedPage]) -> DynStreamingIterator<'_, CompressedPage, PolarsError> {
    DynStreamingIterator::new(convert(pages.iter().map(Ok)))
}
