//! Tables: typed rows of facts, gathered in columns and handed to a sink. Table counts and never judges.
//!
//! Rules of schema 1 (readable by Spark, DuckDB, pyarrow, polars alike): times are `ts_ns` (nanoseconds, 64-bit signed)
//! beside `ts` (microseconds, UTC); counters are 64-bit signed, ports 32-bit; no unsigned 64-bit, no nanosecond
//! datetime; names are `snake_case` with their unit; a row carries `capture`, `point` and the frame it rests on.

/// Defines a table: a row struct, its columns with their documentation, and how a row becomes columns.
///
/// A column is a field; its doc line is the column's documentation, unit included; its type says the column type. Rows of
/// which there are many borrow their texts.
macro_rules! table {
    (
        $(#[doc = $doc:literal])+
        $name:literal => pub struct $row:ident $(<$life:lifetime>)? {
            $( $(#[doc = $field_doc:literal])+ pub $field:ident: $ty:ty, )+
        }
    ) => {
        $(#[doc = $doc])+
        #[derive(Clone, Debug, Default)]
        pub struct $row $(<$life>)? { $( $(#[doc = $field_doc])+ pub $field: $ty, )+ }

        impl $(<$life>)? $crate::table::Row for $row $(<$life>)? {
            const SPEC: $crate::table::TableSpec = $crate::table::TableSpec {
                name: $name,
                doc: concat!($($doc),+),
                columns: &[$(
                    $crate::table::ColumnSpec {
                        name: stringify!($field),
                        ty: <$ty as $crate::table::Cell>::TYPE,
                        nullable: <$ty as $crate::table::Cell>::NULLABLE,
                        doc: concat!($($field_doc),+),
                    },
                )+],
            };

            fn push(&self, columns: &mut [$crate::table::Column]) {
                let mut columns = columns.iter_mut();
                $(
                    if let Some(column) = columns.next() {
                        $crate::table::Cell::push(&self.$field, column);
                    }
                )+
            }
        }
    };
}
mod captures;
mod cell;
mod clocks;
mod column;
mod decode;
mod dns_lookups;
mod dns_transactions;
mod endpoints;
mod fill;
mod findings;
mod flows;
mod fragments;
mod hops;
mod icmp_echo;
mod icmp_errors;
mod intervals;
mod nat_bindings;
mod packets;
mod points;
mod segments;
mod tcp_compat;
mod tcp_events;
mod tunnels;
mod turns;
mod values;

pub use captures::CaptureRow;

pub use cell::{Cell, Joined, Label, Time};
pub use clocks::ClockRow;
pub use column::{Column, ColumnSpec, ColumnType, Null, Rows, Sink, SinkError, TableSpec};
pub use decode::DecodeRow;
pub use dns_lookups::{DnsLookupRow, DnsWhatIfRow};
pub use dns_transactions::DnsTransactionRow;
pub use endpoints::EndpointRow;
pub(crate) use fill::Fill;
pub use findings::FindingRow;
pub use flows::FlowRow;
pub use fragments::FragmentRow;
pub use hops::HopRow;
pub use icmp_echo::IcmpEchoRow;
pub use icmp_errors::IcmpErrorRow;
pub use intervals::IntervalRow;
pub use nat_bindings::NatBindingRow;
pub use packets::PacketRow;
pub use points::PointRow;
pub use segments::SegmentRow;
pub use tcp_compat::TcpCompatRow;
pub use tcp_events::TcpEventRow;
pub use tunnels::TunnelRow;
pub use turns::TurnRow;
pub use values::{Labels, Texts, Values};

/// Version of all tables together, in every file's metadata as `kcap.schema`.
pub const SCHEMA_VERSION: &str = "1";

/// All tables.
pub const TABLES: &[TableSpec] = &[
    CaptureRow::SPEC,
    PointRow::SPEC,
    DecodeRow::SPEC,
    FlowRow::SPEC,
    TcpEventRow::SPEC,
    NatBindingRow::SPEC,
    EndpointRow::SPEC,
    HopRow::SPEC,
    ClockRow::SPEC,
    SegmentRow::SPEC,
    TunnelRow::SPEC,
    DnsTransactionRow::SPEC,
    IcmpErrorRow::SPEC,
    IcmpEchoRow::SPEC,
    TurnRow::SPEC,
    DnsLookupRow::SPEC,
    DnsWhatIfRow::SPEC,
    IntervalRow::SPEC,
    FragmentRow::SPEC,
    FindingRow::SPEC,
    PacketRow::SPEC,
    TcpCompatRow::SPEC,
];

/// A row of a table: a struct whose fields are its columns. Made by `table!`.
pub trait Row {
    /// The table.
    const SPEC: TableSpec;

    /// Appends the row to the columns, which are those of `SPEC`, in its order.
    fn push(&self, columns: &mut [Column]);
}
