//! Large captures and what is measured with them.
//!
//! * [`icount`]: instructions a packet.
//! * [`inputs`]: the captures that are measured with, generated when they are missing.
//! * [`traffic`]: a simulation of cluster traffic that writes captures of any size, always the same bytes for one seed.
//! * [`arena`], [`contest`]: kcap against other programs, in turn, as ratios, and the goals that it is held to.
//! * [`measure`]: processor time, wall time and peak memory of a command.
//! * [`record`]: what was measured, kept under `benches/runs`.

pub mod arena;
pub mod contest;
pub mod icount;
pub mod inputs;
pub mod measure;
pub mod options;
pub mod record;
pub mod traffic;
