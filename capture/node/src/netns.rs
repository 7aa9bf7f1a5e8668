//! Network namespaces: held open, worked in on a thread of its own.
//!
//! `setns` changes the thread that calls it and no other, and a socket stays in the namespace it was made in. So a
//! thread enters, makes what is wanted, and ends; nothing ever has to come back.

use crate::CaptureError;
use nix::sched::{CloneFlags, setns};
use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

/// A network namespace, which exists as long as this does, whatever becomes of its processes.
#[derive(Clone, Debug)]
pub struct Netns {
    file: Arc<File>,
    path: PathBuf,
    inode: u64,
}

impl Netns {
    /// Opens the namespace that the file stands for.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, CaptureError> {
        let path = path.into();
        let opened = File::open(&path).and_then(|file| Ok((file.metadata()?.ino(), file)));
        match opened {
            Ok((inode, file)) => Ok(Self { file: Arc::new(file), path, inode }),
            Err(source) => Err(CaptureError::OpenNamespace { path, source }),
        }
    }

    /// The one this process is in.
    pub fn own() -> Result<Self, CaptureError> {
        Self::open("/proc/self/ns/net")
    }

    /// That of a process.
    pub fn of_process(pid: u32) -> Result<Self, CaptureError> {
        let process = PathBuf::from(format!("/proc/{pid}"));
        if !process.exists() {
            return Err(CaptureError::NoProcess { pid });
        }
        Self::open(process.join("ns/net"))
    }

    /// The file it was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What tells namespaces apart on one host.
    pub fn inode(&self) -> u64 {
        self.inode
    }

    /// Whether the file stands for it still: it exists in any case.
    pub(crate) fn is_there(&self) -> bool {
        std::fs::metadata(&self.path).is_ok_and(|found| found.ino() == self.inode)
    }

    /// Runs `work` in the namespace.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, CaptureError> {
        thread::scope(|scope| {
            let enter = || {
                self.enter()?;
                Ok(work())
            };
            let thread = thread::Builder::new().name("netns".to_owned()).spawn_scoped(scope, enter);
            match thread.map_err(CaptureError::Thread)?.join() {
                Ok(done) => done,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    /// Puts the calling thread into the namespace, for good: it must be one that does nothing else.
    pub(crate) fn enter(&self) -> Result<(), CaptureError> {
        // Where the thread is already, no capability is needed.
        if std::fs::metadata("/proc/thread-self/ns/net").is_ok_and(|own| own.ino() == self.inode) {
            return Ok(());
        }
        let failed = |error: nix::Error| CaptureError::EnterNamespace { path: self.path.clone(), source: error.into() };
        setns(&self.file, CloneFlags::CLONE_NEWNET).map_err(failed)
    }
}
