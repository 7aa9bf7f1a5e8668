//! Generates a large capture and, beside it, the truth about it.
#![allow(clippy::print_stderr, reason = "a command")]

use kcap_benches::traffic::{Format, Mix, Request, generate};
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "usage: generate mixed|dns|small FILE [--size BYTES] [--seed N] [--format pcap|pcapng]
BYTES may end in K, M or G (powers of ten). FILE.truth.json says what the capture holds. Time grows with size, the
number of live flows does not.";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match parse(&args).and_then(|(request, file)| run(request, &file).map_err(|error| error.to_string())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("generate: {message}\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn run(request: Request, file: &Path) -> std::io::Result<()> {
    let truth = generate(request, BufWriter::with_capacity(1 << 20, File::create(file)?))?;
    let mut beside = file.as_os_str().to_owned();
    beside.push(".truth.json");
    serde_json::to_writer_pretty(File::create(beside)?, &truth)?;
    Ok(())
}

fn parse(args: &[String]) -> Result<(Request, PathBuf), String> {
    let [mix, file, options @ ..] = args else { return Err("a mix and a file are needed".into()) };
    let mut request = Request { mix: mix_of(mix)?, size: 2_000_000_000, seed: 1, format: Format::Pcap };
    for option in options.chunks(2) {
        let [name, value] = option else { return Err(format!("{} needs a value", option[0])) };
        match name.as_str() {
            "--size" => request.size = bytes(value)?,
            "--seed" => request.seed = value.parse().map_err(|_| format!("--seed {value} is no number"))?,
            "--format" => request.format = format_of(value)?,
            _ => return Err(format!("unknown option {name}")),
        }
    }
    Ok((request, file.into()))
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

fn bytes(text: &str) -> Result<u64, String> {
    let (digits, unit) = match text.as_bytes().last() {
        Some(b'K') => (&text[..text.len() - 1], 1_000),
        Some(b'M') => (&text[..text.len() - 1], 1_000_000),
        Some(b'G') => (&text[..text.len() - 1], 1_000_000_000),
        _ => (text, 1),
    };
    digits.parse::<u64>().map(|n| n * unit).map_err(|_| format!("{text} is no size"))
}
