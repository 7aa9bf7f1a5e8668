//! State over packets. Track remembers and never judges.

pub mod compat;
pub(crate) mod decoded;
pub mod dns;
mod early;
mod end;
mod endpoint;
pub mod event;
pub(crate) mod events;
mod few;
mod flow;
pub(crate) mod flows;
mod fold;
pub mod fragments;
mod frame;
mod h2;
mod handshake;
mod holes;
pub(crate) mod icmp;
pub(crate) mod index;
pub(crate) mod key;
pub(crate) mod lane;
mod leg;
pub mod lookup;
mod maybe;
mod neighbours;
pub mod passage;
pub mod points;
pub(crate) mod prefetch;
mod quic;
mod reuse;
pub(crate) mod shard;
mod stall;
mod talk;
pub mod tcp;
pub mod tunnels;
mod turn;
mod usual;

pub use endpoint::Endpoint;
pub use event::{ConnState, Event, Flow, FrameId, IcmpCode, IcmpError, Tally};
pub use few::{Few, History};
pub use maybe::MaybeNs;
pub use quic::Quic;
pub use turn::{Fate, Goodbye, Resent, TlsFailure, Turn};

#[cfg(test)]
mod tests;
