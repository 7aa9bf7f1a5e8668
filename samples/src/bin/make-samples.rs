//! Writes the built captures of `samples/cases` anew; they come out the same each time.
#![allow(clippy::print_stdout, reason = "a command")]

use kcap_samples::{built, case};

fn main() -> std::io::Result<()> {
    let count = built::write(&case::folder())?;
    println!("{count} captures below {}", case::folder().display());
    Ok(())
}
