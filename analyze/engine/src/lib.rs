//! The engine: frames to packets, packets to flows and facts, facts to findings and tables.
//!
//! Pure: packet time only, no clock, no environment, no files, no network. *Wire parses and never remembers; track
//! remembers and never judges; detect judges and never parses; table counts and never judges.*

mod addr;
mod chunk;
pub mod finding;
mod options;
pub mod packet;
pub mod table;
pub mod track;
pub mod wire;

pub use addr::Addr;
pub use chunk::Chunk;
pub use finding::Report;
pub use options::{FrameFilter, Options, Restrict};
pub use packet::Packet;
