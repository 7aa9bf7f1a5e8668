//! Large captures and what is measured with them.
//!
//! * [`traffic`]: a simulation of cluster traffic that writes captures of any size, always the same bytes for one seed.

pub mod traffic;
