//! State over packets. Track remembers and never judges.

mod end;
mod endpoint;
pub mod event;
mod flow;
mod flows;
mod index;
mod key;
mod lane;
mod prefetch;

pub use endpoint::Endpoint;
pub use event::{ConnState, Event, Flow, FrameId, IcmpCode, IcmpError};
