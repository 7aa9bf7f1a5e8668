//! Tracking from frames to facts, as text tables.

pub(crate) mod dsl;
mod handshakes;
mod icmp;
mod legs;
mod losses;
mod others;
mod sequence;
