//! Generates a large capture and, beside it, the truth about it.
#![allow(clippy::print_stderr, reason = "a command")]

use kcap_benches::inputs::truth_path;
use kcap_benches::options::Line;
use kcap_benches::traffic::{Format, Mix, Request, generate};
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "usage: generate mixed|dns|small FILE [--size BYTES] [--seed N] [--format pcap|pcapng]
BYTES may end in K, M or G (powers of ten). FILE.truth.json says what the capture holds. Time grows with size, the
number of live flows does not.";

fn main() -> ExitCode {
    match parse(std::env::args().skip(1))
        .and_then(|(request, file)| run(request, &file).map_err(|error| error.to_string()))
    {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("generate: {message}\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn run(request: Request, file: &Path) -> std::io::Result<()> {
    let truth = generate(request, BufWriter::with_capacity(1 << 20, File::create(file)?))?;
    serde_json::to_writer_pretty(File::create(truth_path(file))?, &truth)?;
    Ok(())
}

fn parse(args: impl Iterator<Item = String>) -> Result<(Request, PathBuf), String> {
    let line = Line::parse(args, &["size", "seed", "format"], &[])?;
    let [mix, file] = &line.words[..] else { return Err("a mix and a file are needed".into()) };
    let (size, seed) = (line.size("size", 2_000_000_000)?, line.number("seed", 1)?);
    let format = line.value("format").map_or(Ok(Format::Pcap), format_of)?;
    Ok((Request { mix: mix_of(mix)?, size, seed, format }, file.into()))
}

fn mix_of(name: &str) -> Result<Mix, String> {
    match name {
        "mixed" => Ok(Mix::Mixed),
        "dns" => Ok(Mix::Dns),
        "small" => Ok(Mix::Small),
        _ => Err(format!("unknown mix {name}")),
    }
}

fn format_of(name: &str) -> Result<Format, String> {
    match name {
        "pcap" => Ok(Format::Pcap),
        "pcapng" => Ok(Format::Pcapng),
        _ => Err(format!("unknown format {name}")),
    }
}
