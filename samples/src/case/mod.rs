//! The cases under `samples/cases`: one folder each, found by looking.
//!
//! A folder holds `README.md` (what happened, how it was made, how Wireshark shows it), captures, `expect.toml` (what
//! kcap must and must not say) and `report.txt` (what it says to a terminal). Anything that can analyse may run them:
//! this module knows what is expected, not how to get it.

mod check;
mod expect;

pub use check::{Outcome, check};
pub use expect::{Absent, Expectations, Finding, Run, Table};

use std::path::{Path, PathBuf};
use std::{fs, io};

/// A case.
#[derive(Clone, Debug)]
pub struct Case {
    /// Name of its folder.
    pub slug: String,
    /// Its folder.
    pub folder: PathBuf,
    /// What is run, and what must come of it.
    pub runs: Vec<Run>,
}

/// Why the cases cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CaseError {
    /// A folder or file cannot be read.
    #[error("read {path}: {source}")]
    Read {
        /// What.
        path: PathBuf,
        /// Cause.
        source: io::Error,
    },
    /// `expect.toml` is not as it should be.
    #[error("parse {path}: {source}")]
    Expect {
        /// Which.
        path: PathBuf,
        /// Cause.
        source: toml::de::Error,
    },
}

/// Where the cases are in the source tree.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("cases")
}

/// All cases, by name.
///
/// # Errors
/// A case cannot be read or its expectations cannot be parsed.
pub fn all() -> Result<Vec<Case>, CaseError> {
    let folder = folder();
    let read = |source| CaseError::Read { path: folder.clone(), source };
    let mut folders = Vec::new();
    for entry in fs::read_dir(&folder).map_err(read)? {
        let path = entry.map_err(read)?.path();
        if path.is_dir() {
            folders.push(path);
        }
    }
    folders.sort();
    folders.into_iter().map(Case::read).collect()
}

impl Case {
    fn read(folder: PathBuf) -> Result<Self, CaseError> {
        let path = folder.join("expect.toml");
        let text = fs::read_to_string(&path).map_err(|source| CaseError::Read { path: path.clone(), source })?;
        let expectations: Expectations = toml::from_str(&text).map_err(|source| CaseError::Expect { path, source })?;
        let slug = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self { slug, folder, runs: expectations.run })
    }
}

#[cfg(test)]
mod tests;
