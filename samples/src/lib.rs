//! Sample captures and what makes them.
//!
//! * [`packet`]: a packet builder with valid lengths and checksums, for the packets no lab can make.
//! * [`mod@file`]: capture files written by hand, good and broken ones. Shares no code with `kcap-file`, whose oracle it is.
//! * [`case`]: the cases under `cases/`: a capture, what happened, and what kcap must and must not say.
//! * [`built`]: the cases that are built and not recorded; `make-samples` writes them, always the same bytes.
#![allow(clippy::expect_used, reason = "tests and benchmarks use this crate; a sample built wrong must stop them")]

pub mod built;
pub mod case;
pub mod file;
pub mod packet;
mod rng;

pub use rng::Rng;
