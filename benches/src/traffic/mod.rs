//! Cluster traffic in simulated time.
//!
//! Actors (connections, DNS clients) act at their times and emit frames, which leave in time order. Rates are constant,
//! so a larger file is a longer capture of the same number of live flows, never a denser one.

mod conn;
mod dns;
mod leg;
mod mixes;
mod output;
mod tags;
mod world;

pub use mixes::Mix;
pub use output::Format;
pub use tags::Truth;

use output::Output;
use std::io::{self, Write};
use world::World;

/// What to generate.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// Kind of traffic.
    pub mix: Mix,
    /// Bytes of the file; it ends with the last record that fits.
    pub size: u64,
    /// Seed: the same request gives the same bytes.
    pub seed: u64,
    /// File format.
    pub format: Format,
}

/// Writes the capture and says what was put in.
///
/// # Errors
/// The capture cannot be written.
pub fn generate(request: Request, to: impl Write) -> io::Result<Truth> {
    let output = Output::new(to, request.format, request.size)?;
    let mut world = World::new(request.seed);
    mixes::populate(request.mix, &mut world);
    world.run(output)
}

#[cfg(test)]
mod tests;
