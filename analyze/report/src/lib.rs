//! Tables to files and the report to JSON.
//!
//! Rows come from the engine as columns and go to one file a table: Parquet, Arrow IPC, CSV or NDJSON, written in row
//! groups while the capture is still being read. polars' own crates do the encoding, and only this crate knows them.
//! Nothing here decides anything about traffic.

mod arrow;
mod behind;
mod csv;
mod dir;
mod error;
mod format;
mod frame;
mod group;
pub mod json;
mod ndjson;
mod output;
mod parquet;
pub mod schema;

pub use behind::behind;
pub use dir::{Layout, TableDir};
pub use error::TableError;
pub use format::{FORMATS, Format};
