//! Exit codes and error messages.

use std::{fmt, io, process::ExitCode};

/// How the program ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Exit {
    /// Done, whatever was found.
    Done = 0,
    /// Something outside did not work: a file that is not there, a full disk.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// Done, but part of the input is missing from the result.
    Incomplete = 3,
    /// Something as bad as `--fail-on` was found.
    Found = 4,
    /// The input is not a capture (`EX_DATAERR` of sysexits.h).
    Data = 65,
    /// Not permitted (`EX_NOPERM` of sysexits.h).
    Permission = 77,
    /// Interrupted before there was anything.
    #[cfg(all(target_os = "linux", feature = "libpcap"))]
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// An error with what it does to the exit code and what the user can do about it.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    error: anyhow::Error,
    hint: Option<String>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, error: impl Into<anyhow::Error>) -> Self {
        Self { exit, error: error.into(), hint: None }
    }

    pub(crate) fn usage(message: impl fmt::Display + fmt::Debug + Send + Sync + 'static) -> Self {
        Self::new(Exit::Usage, anyhow::Error::msg(message))
    }

    /// An error of a library that the command line is to blame for.
    pub(crate) fn usage_error(error: impl Into<anyhow::Error>) -> Self {
        Self::new(Exit::Usage, error)
    }

    pub(crate) fn hint(self, hint: Option<impl Into<String>>) -> Self {
        Self { hint: hint.map(Into::into), ..self }
    }

    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    /// Prints `kcap: operation: cause` and the hint.
    pub(crate) fn print(&self) {
        eprintln!("kcap: {:#}", self.error);
        if let Some(hint) = &self.hint {
            eprintln!("hint: {hint}");
        }
    }

    /// Whether the reader of the output went away, which is its right.
    fn is_broken_pipe(&self) -> bool {
        let causes = self.error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>());
        causes.into_iter().any(|error| error.kind() == io::ErrorKind::BrokenPipe)
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::new(Exit::Failed, error)
    }
}

/// The exit code of a result; an error is printed.
pub(crate) fn settle(result: Result<Exit, Failure>) -> ExitCode {
    match result {
        Ok(exit) => exit.into(),
        Err(failure) if failure.is_broken_pipe() => Exit::Done.into(),
        Err(failure) => {
            failure.print();
            failure.exit.into()
        }
    }
}
