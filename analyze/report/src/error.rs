use std::{io, path::PathBuf};

/// Why tables could not be written.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The folder could not be made or read.
    #[error("open table folder {}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Cause.
        source: io::Error,
    },
    /// The folder holds something, and overwriting was not asked for.
    #[error("table folder {} is not empty", path.display())]
    NotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// A file could not be made, written or closed.
    #[error("write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Cause.
        source: io::Error,
    },
    /// The rows could not be put in the format.
    #[error("encode {}", path.display())]
    Encode {
        /// The file.
        path: PathBuf,
        /// Cause.
        source: polars::error::PolarsError,
    },
    /// A finished file could not get its name.
    #[error("rename {} to {}", from.display(), to.display())]
    Rename {
        /// What it is called while it is written.
        from: PathBuf,
        /// What it is to be called.
        to: PathBuf,
        /// Cause.
        source: io::Error,
    },
    /// A file of an earlier run could not be removed.
    #[error("remove {}", path.display())]
    Remove {
        /// The file.
        path: PathBuf,
        /// Cause.
        source: io::Error,
    },
}
