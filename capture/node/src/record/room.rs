//! Room on the file system: a capture must not be what fills a node's disk.

use super::Destination;
use crate::{CaptureError, Size};
use nix::sys::statvfs::statvfs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// The kubelet evicts pods when 10 % of its file system is free, and 15 % of the images': a capture on one of these
/// ends before.
const KUBELET_SHARE: u64 = 15;
const KUBELET_FOLDERS: [&str; 5] =
    ["/var/lib/kubelet", "/var/lib/containerd", "/var/lib/containers", "/var/lib/docker", "/var/lib/rancher"];

/// Where a capture is written and how much has to stay free there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Room {
    path: PathBuf,
    floor: Size,
}

impl Room {
    /// Of a destination; nothing where no file is made. `floor` replaces the rules.
    pub fn of(destination: &Destination, floor: Option<Size>) -> Result<Option<Self>, CaptureError> {
        let Some(path) = destination.folder().map(Path::to_owned) else { return Ok(None) };
        let room = match floor {
            Some(floor) => Self { path, floor },
            None => Self { floor: rule(&path)?, path },
        };
        Ok(Some(room))
    }

    /// Fails when less is free than has to stay so.
    pub fn check(&self) -> Result<(), CaptureError> {
        let free = self.free()?;
        if free >= self.floor {
            return Ok(());
        }
        Err(CaptureError::NoRoom { path: self.path.clone(), free, floor: self.floor })
    }

    /// Bytes free for an ordinary user.
    pub fn free(&self) -> Result<Size, CaptureError> {
        let found = statvfs(&self.path).map_err(|error| failed(&self.path, error))?;
        Ok(Size(found.blocks_available() * found.fragment_size()))
    }
}

fn rule(path: &Path) -> Result<Size, CaptureError> {
    let found = statvfs(path).map_err(|error| failed(path, error))?;
    let total = found.blocks() * found.fragment_size();
    let shared = std::fs::metadata(path).is_ok_and(|own| on_kubelet(own.dev()));
    Ok(if shared { Size::GIB.max(Size(total / 100 * KUBELET_SHARE)) } else { Size::GIB })
}

fn on_kubelet(device: u64) -> bool {
    KUBELET_FOLDERS.iter().any(|folder| std::fs::metadata(folder).is_ok_and(|found| found.dev() == device))
}

fn failed(path: &Path, error: nix::Error) -> CaptureError {
    match error {
        nix::Error::ENOENT => CaptureError::Create { path: path.to_owned(), source: error.into() },
        _ => CaptureError::Room { path: path.to_owned(), source: error.into() },
    }
}
