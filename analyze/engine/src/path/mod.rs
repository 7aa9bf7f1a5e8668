//! The way packets took: what several units, points and addresses saw of one connection, put together again.
//!
//! Works on what is left of connections when they end, so it costs by the connection and not by the packet.

pub(crate) mod clock;
pub(crate) mod cluster;
mod connection;
pub(crate) mod endpoints;
mod hops;
mod join;
mod kept;
mod nat;
pub(crate) mod rows;
pub(crate) mod segments;
mod signs;

pub(crate) use connection::{Connection, Stage};
pub(crate) use kept::Kept;
pub(crate) use nat::Binding;
pub(crate) use signs::{SLOW_NS, Signs};

/// The value below which this share of ascending ones lies.
fn quantile(sorted: &[i64], share: f64) -> Option<i64> {
    let last = sorted.len().checked_sub(1)?;
    sorted.get((last as f64 * share).round() as usize).copied()
}
