//! Capture files: classic pcap and pcapng, read (plain, gzip, zstd, from a pipe) and written.
//!
//! The crate knows files, never packet contents. Reading never fails on bad bytes once the kind of file is known: what
//! is good is kept, what was skipped is a [`Problem`] with its place.

mod batch;
mod bytes;
mod error;
mod info;
mod inputs;
mod kind;
mod linktype;
pub mod note;
mod read;
mod write;

pub use batch::{Batch, Direction, Record};
pub use error::ReadError;
pub use info::{CaptureInfo, Compression, Format, Interface, InterfaceStats, NameRecord, Problem, ProblemKind};
pub use inputs::Inputs;
pub use kind::FileKind;
pub use linktype::LinkType;
pub use read::{Reader, Source};
pub use write::{Packet, Section, WriteError, Writer};
