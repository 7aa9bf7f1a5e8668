//! A second process, which is a copy of this one.
#![expect(unsafe_code, reason = "fork(2) has no safe form")]

use nix::sys::prctl;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, dup2_stderr, dup2_stdin, dup2_stdout, fork, getppid};
use std::fs::File;
use std::io;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

/// What `ps` shows.
const NAME: &std::ffi::CStr = c"kcap-opener";
/// How long threads that were joined may take to be gone.
const SETTLED: Duration = Duration::from_millis(200);

/// The other process, which ends with this one, and when this is dropped.
#[derive(Debug)]
pub(crate) struct Process(Pid);

impl Process {
    /// Starts it to do that work and nothing else. `ours` is this process's end of what they talk through: the other one
    /// has no copy of it, so that it is told when this one is gone. There must be no other thread.
    pub(crate) fn start(ours: UnixStream, work: impl FnOnce()) -> io::Result<(Self, UnixStream)> {
        settle()?;
        let parent = nix::unistd::getpid();
        // SAFETY: this is the only thread, so nobody holds a lock that the copy would wait for.
        match unsafe { fork() }? {
            ForkResult::Parent { child } => Ok((Self(child), ours)),
            ForkResult::Child => {
                drop(ours);
                // What a panic would unwind to is the other process's.
                let done = catch_unwind(AssertUnwindSafe(|| {
                    detach(parent)?;
                    work();
                    io::Result::Ok(())
                }));
                std::process::exit(i32::from(!matches!(done, Ok(Ok(())))))
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already; then there is only its number to be given back.
        let _ = kill(self.0, Signal::SIGKILL);
        let _ = waitpid(self.0, None);
    }
}

/// Waits until this is the only thread: one that was joined is still listed for a moment.
fn settle() -> io::Result<()> {
    let asked = Instant::now();
    while std::fs::read_dir("/proc/self/task")?.count() > 1 {
        if asked.elapsed() > SETTLED {
            return Err(io::Error::other("there are other threads"));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Ends with the other process, and keeps nobody waiting for the end of what that writes.
fn detach(parent: Pid) -> io::Result<()> {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    prctl::set_name(NAME)?;
    let null = File::options().read(true).write(true).open("/dev/null")?;
    dup2_stdin(&null)?;
    dup2_stdout(&null)?;
    dup2_stderr(&null)?;
    if getppid() == parent { Ok(()) } else { Err(io::Error::other("the other process is gone")) }
}
