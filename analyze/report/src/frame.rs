//! Row groups as polars frames.

use crate::group::{Group, plain_texts};
use kcap_analyze::{
    rfc3339,
    table::{ColumnSpec, ColumnType},
};
use polars::prelude::{Column, DataFrame, PolarsResult, Schema, Series};
use polars_arrow::array::{Array, MutablePlString, PrimitiveArray, Utf8ViewArray};

/// The row group as a frame of one chunk.
pub(crate) fn typed(group: &Group) -> PolarsResult<DataFrame> {
    build(group, |_, array| plain_texts(array).map(Utf8ViewArray::boxed))
}

/// The row group as a frame for text formats: times are RFC 3339, and `edit` may change the texts, which packets choose.
pub(crate) fn readable(group: &Group, edit: impl Fn(Utf8ViewArray) -> Utf8ViewArray) -> PolarsResult<DataFrame> {
    build(group, |column, array| match column.ty {
        ColumnType::Time => times(array).map(Utf8ViewArray::boxed),
        ColumnType::Label | ColumnType::Addr => plain_texts(array).map(&edit).map(Utf8ViewArray::boxed),
        ColumnType::Text => {
            array.as_any().downcast_ref::<Utf8ViewArray>().cloned().map(&edit).map(Utf8ViewArray::boxed)
        }
        _ => None,
    })
}

fn build(
    group: &Group,
    convert: impl Fn(&ColumnSpec, &dyn Array) -> Option<Box<dyn Array>>,
) -> PolarsResult<DataFrame> {
    let columns = group.spec.columns.iter().zip(&group.arrays).map(|(column, array)| {
        let array = convert(column, array.as_ref()).unwrap_or_else(|| array.clone());
        Series::from_arrow(column.name.into(), array).map(Column::from)
    });
    DataFrame::new(group.len, columns.collect::<PolarsResult<_>>()?)
}

/// The columns that [`typed`] gives.
pub(crate) fn typed_schema(group: &Group) -> PolarsResult<Schema> {
    Ok(typed(group)?.schema().as_ref().clone())
}

fn times(array: &dyn Array) -> Option<Utf8ViewArray> {
    let micros = array.as_any().downcast_ref::<PrimitiveArray<i64>>()?;
    let texts = micros.iter().map(|micros| micros.map(|micros| rfc3339(micros.saturating_mul(1000))));
    Some(MutablePlString::from_iterator(texts).freeze())
}
