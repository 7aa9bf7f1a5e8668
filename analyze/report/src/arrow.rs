//! Arrow IPC files (<https://arrow.apache.org/docs/format/Columnar.html#ipc-file-format>), also known as Feather 2.

use crate::{
    format::{Format, TableWriter},
    frame,
    group::{Gather, Group, GroupWriter, Grouped},
    output::Output,
};
use kcap_analyze::table::{SCHEMA_VERSION, TableSpec};
use polars::prelude::{CompatLevel, IpcCompression, IpcWriter, PolarsResult, SchemaExt, SerWriter};
use polars_arrow::io::ipc::write::default_ipc_fields;

/// Arrow IPC.
pub(crate) const FORMAT: Format =
    Format { name: "arrow", suffix: "arrow", doc: "Arrow IPC, LZ4: for programs that load it whole", create };

struct Writer(polars::io::ipc::BatchedWriter<Output>);

fn create(output: Output, spec: TableSpec) -> PolarsResult<Box<dyn TableWriter>> {
    let schema = frame::typed_schema(&Gather::new(spec).take()?)?;
    // String views are younger than many readers of the format.
    let level = CompatLevel::oldest();
    let fields = default_ipc_fields(schema.to_arrow(level).iter_values());
    let mut writer = IpcWriter::new(output)
        .with_compat_level(level)
        .with_compression(Some(IpcCompression::LZ4))
        .batched(&schema, fields)?;
    writer.set_custom_metadata(vec![("kcap.schema".into(), SCHEMA_VERSION.into())]);
    Ok(Box::new(Grouped::new(spec, Writer(writer))))
}

impl GroupWriter for Writer {
    fn write(&mut self, group: &Group) -> PolarsResult<()> {
        self.0.write_batch(&frame::typed(group)?)
    }

    fn finish(&mut self) -> PolarsResult<()> {
        self.0.finish()
    }
}
