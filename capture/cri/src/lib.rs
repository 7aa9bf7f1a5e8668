//! Finds the pods of a node through its container runtime: CRI version 1 over the runtime's socket, or `crictl` where
//! that is what can be used.
//!
//! The crate answers which sandboxes and containers there are and where their network namespaces should be. Whether
//! they are there is for whoever opens them.

mod client;
mod crictl;
mod endpoint;
mod error;
mod info;
mod message;
mod runtime;

pub use endpoint::{KNOWN_SOCKETS, endpoints};
pub use error::RuntimeError;
pub use runtime::{Container, Network, Runtime, Sandbox, Version};
