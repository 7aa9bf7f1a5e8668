use crate::FileKind;
use std::io;
use std::path::PathBuf;

/// Why a file cannot be read as a capture at all. What is wrong further on is a [`Problem`](crate::Problem).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The operating system did not open the file.
    #[error("cannot open {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Not even the first bytes could be read.
    #[error("cannot read {name}")]
    Read {
        /// The file as the user named it.
        name: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The compressed data is corrupt from the start.
    #[error("cannot decompress {name}")]
    Decompress {
        /// The file as the user named it.
        name: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The path is a folder; [`Inputs`](crate::Inputs) reads the captures in one.
    #[error("{} is a folder, not a capture file", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
    },
    /// A folder that could not be listed.
    #[error("cannot list the folder {}", path.display())]
    List {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A folder without a capture in it.
    #[error("no capture file in the folder {}", path.display())]
    NothingInFolder {
        /// The folder.
        path: PathBuf,
    },
    /// The file has no bytes.
    #[error("{name} is empty")]
    Empty {
        /// The file as the user named it.
        name: String,
    },
    /// The file ends within its first header.
    #[error("{name} ends within its file header")]
    Short {
        /// The file as the user named it.
        name: String,
    },
    /// The file is of another kind.
    #[error("{name} is not a pcap or pcapng capture: it is {kind}")]
    NotACapture {
        /// The file as the user named it.
        name: String,
        /// What it is.
        kind: FileKind,
    },
}

impl ReadError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NotACapture { kind, .. } => Some(kind.hint()),
            Self::Empty { .. } => {
                Some("the capture wrote nothing: was it stopped before its first flush, or the disk full?")
            }
            Self::Short { .. } => Some("the capture was cut before its first packet; take it again"),
            Self::Folder { .. } => Some("name the files in it, or the folder as an input of its own"),
            Self::Decompress { .. } => Some("compressed captures are gzip or zstd with a window of at most 128 MiB"),
            Self::Open { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Some("captures are often written as root: sudo chown, or read as the user who took it")
            }
            _ => None,
        }
    }

    /// The message with all its causes, for where no error chain can be kept.
    pub(crate) fn chain(&self) -> String {
        use std::error::Error;
        match self.source() {
            Some(source) => format!("{self}: {source}"),
            None => self.to_string(),
        }
    }
}
