//! Captures packets in the network namespaces of a Linux node: those of pods, of processes, its own.
//!
//! A [`Target`] becomes a [`Place`], a network namespace held open; [`capture()`] opens its interfaces with libpcap and
//! writes a pcapng file that says what it is, until something ends it. The kernel filters (`kcap-filter`), nothing here
//! looks into packets.

mod args;
mod beside;
mod clock;
pub mod conntrack;
mod context;
mod error;
mod feed;
mod filter;
mod given;
mod host;
mod links;
mod list;
mod netns;
mod place;
mod pods;
mod privilege;
mod record;
mod report;
mod resolve;
mod session;
mod signals;
mod tap;
mod target;
mod units;

pub use args::{CaptureArgs, FilterArgs, PodArgs};
pub use error::CaptureError;
pub use feed::{Fed, Feed, feed};
pub use filter::Wanted;
pub use host::host_name;
pub use links::{Link, links};
pub use list::{Listing, list_others, list_pods};
pub use netns::Netns;
pub use place::Place;
pub use privilege::{give_up_all_but_reading, give_up_privileges};
pub use record::{Destination, Output, Room, Rotate};
pub use resolve::{Resolved, resolve};
pub use session::{End, Limits, Observer, Plan, Status, Summary, capture};
pub use tap::Counters;
pub use target::{Target, TargetError};
pub use units::{Size, UnitError, duration};
