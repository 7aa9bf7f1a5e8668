//! The captures that are measured with. They are kept from run to run: generating them takes longer than some contests.

use crate::traffic::{Format, Mix, Request, Truth, generate};
use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where generated captures are kept.
#[derive(Clone, Debug)]
pub struct Inputs {
    folder: PathBuf,
    /// Bytes of the full mixed capture; the others keep their proportion to it.
    full: u64,
}

/// Bytes of the full mixed capture.
pub const FULL: u64 = 2_000_000_000;

fn target() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target");
    env::var_os("CARGO_TARGET_DIR").map_or(here, PathBuf::from)
}

/// Where captures are kept: `KCAP_BENCH_DIR`, or `bench` in the target folder.
pub fn folder() -> PathBuf {
    env::var_os("KCAP_BENCH_DIR").map_or_else(|| target().join("bench"), PathBuf::from)
}

/// The program that is measured: the one given, `KCAP_BIN`, or the release build.
///
/// # Errors
/// It is not there; what to do is said.
pub fn kcap(given: Option<&str>) -> Result<PathBuf, String> {
    let given = given.map(PathBuf::from).or_else(|| env::var_os("KCAP_BIN").map(PathBuf::from));
    let path = given.unwrap_or_else(|| target().join("release/kcap"));
    if path.is_file() { Ok(path) } else { Err(format!("no {}: run cargo build --release -p kcap", path.display())) }
}

/// A capture and what it holds.
#[derive(Clone, Debug)]
pub struct Input {
    /// The file.
    pub path: PathBuf,
    /// Its truth.
    pub packets: u64,
}

/// Where the truth about a generated capture is.
pub fn truth_path(capture: &Path) -> PathBuf {
    let mut name = OsString::from(capture);
    name.push(".truth.json");
    name.into()
}

impl Inputs {
    /// Captures in `folder`, `full` bytes for the mixed one.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn new(folder: PathBuf, full: u64) -> io::Result<Self> {
        fs::create_dir_all(&folder)?;
        Ok(Self { folder, full })
    }

    /// The folder, which other things may be put into.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The mixed capture.
    ///
    /// # Errors
    /// It cannot be generated.
    pub fn mixed(&self) -> io::Result<Input> {
        self.capture("mixed", Mix::Mixed, self.full)
    }

    /// A tenth of it, for programs that take long, with the same live flows.
    ///
    /// # Errors
    /// It cannot be generated.
    pub fn tenth(&self) -> io::Result<Input> {
        self.capture("mixed", Mix::Mixed, self.full / 10)
    }

    /// Ten times of it, with the same live flows.
    ///
    /// # Errors
    /// It cannot be generated.
    pub fn tenfold(&self) -> io::Result<Input> {
        self.capture("mixed", Mix::Mixed, self.full * 10)
    }

    /// Small packets, half the bytes.
    ///
    /// # Errors
    /// It cannot be generated.
    pub fn small(&self) -> io::Result<Input> {
        self.capture("small", Mix::Small, self.full / 2)
    }

    /// DNS, a third of the bytes.
    ///
    /// # Errors
    /// It cannot be generated.
    pub fn dns(&self) -> io::Result<Input> {
        self.capture("dns", Mix::Dns, self.full * 7 / 20)
    }

    /// The mixed capture through a compressor that is installed, such as `gzip`.
    ///
    /// # Errors
    /// The compressor is not there or fails.
    pub fn compressed(&self, program: &str, suffix: &str) -> io::Result<PathBuf> {
        let source = self.mixed()?.path;
        let path = source.with_extension(format!("pcap.{suffix}"));
        if path.is_file() {
            return Ok(path);
        }
        let part = path.with_extension("part");
        let mut command = Command::new(program);
        let status = command.arg("-c").stdin(File::open(&source)?).stdout(File::create(&part)?).status()?;
        if !status.success() {
            return Err(io::Error::other(format!("{program} on {}: {status}", source.display())));
        }
        fs::rename(part, &path)?;
        Ok(path)
    }

    fn capture(&self, name: &str, mix: Mix, size: u64) -> io::Result<Input> {
        let path = self.folder.join(format!("{name}-{}.pcap", size / 1_000_000));
        let truth = truth_path(&path);
        if !truth.is_file() {
            generate_file(&path, mix, size)?;
        }
        let truth: serde_json::Value = serde_json::from_reader(BufReader::new(File::open(truth)?))?;
        Ok(Input { path, packets: truth["packets"].as_u64().unwrap_or_default() })
    }
}

/// The truth is written last: where it is, the capture is whole.
fn generate_file(path: &Path, mix: Mix, size: u64) -> io::Result<Truth> {
    let request = Request { mix, size, seed: 1, format: Format::Pcap };
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let truth = generate(request, &mut file)?;
    file.flush()?;
    serde_json::to_writer_pretty(File::create(truth_path(path))?, &truth)?;
    Ok(truth)
}

/// Reads files into the page cache.
///
/// # Errors
/// One cannot be read.
pub fn warm(paths: &[&Path]) -> io::Result<()> {
    let status = Command::new("cat").args(paths).stdout(Stdio::null()).status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other("cat failed")) }
}
