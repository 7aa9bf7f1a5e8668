//! The engine: frames to packets, packets to flows and facts, facts to findings and tables.
//!
//! Pure: packet time only, no clock, no environment, no files, no network. *Wire parses and never remembers; track
//! remembers and never judges; detect judges and never parses; table counts and never judges.*

mod addr;
mod analysis;
mod chunk;
mod collect;
mod conntrack;
mod context;
pub mod detect;
pub mod finding;
mod ingest;
mod names;
mod options;
pub mod packet;
mod path;
mod pipeline;
mod rows;
mod story;
mod summary;
pub mod table;
mod tell;
mod time;
pub mod track;
mod verdict;
pub mod wire;

pub use addr::Addr;
pub use analysis::analyze;
pub use chunk::Chunk;
pub use conntrack::Conntrack;
pub use finding::Report;
pub use names::{Directory, KubeError};
pub use options::{Compat, FrameFilter, Options, Restrict};
pub use packet::Packet;
pub use time::rfc3339;
