use std::{
    fs::File,
    io::{self, BufWriter, Write},
    sync::{Arc, Mutex, PoisonError},
};

/// A file that remembers its first error, because encoders hand it on as text only.
#[derive(Clone)]
pub(crate) struct Output(Arc<Mutex<State>>);

struct State {
    file: BufWriter<File>,
    error: Option<io::Error>,
}

impl Output {
    pub(crate) fn new(file: File) -> Self {
        Self(Arc::new(Mutex::new(State { file: BufWriter::new(file), error: None })))
    }

    /// Takes the error that stopped writing, if the file had one.
    pub(crate) fn error(&self) -> Option<io::Error> {
        self.with(|state| state.error.take())
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    /// Keeps the error and passes on one of the same kind.
    fn keep(&mut self, error: io::Error) -> io::Error {
        let kind = error.kind();
        self.error.get_or_insert(error);
        kind.into()
    }
}

impl Write for Output {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.with(|state| state.file.write(data).map_err(|error| state.keep(error)))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.with(|state| state.file.flush().map_err(|error| state.keep(error)))
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_remembered_as_what_it_is() {
        let full = File::options().write(true).open("/dev/full").expect("Linux has it");
        let mut output = Output::new(full);
        let mut encoder = output.clone();
        let failed = encoder.write_all(&vec![0; 100_000]).and_then(|()| output.flush());
        assert_eq!(failed.expect_err("no space").kind(), io::ErrorKind::StorageFull);
        assert_eq!(output.error().expect("kept").to_string(), "No space left on device (os error 28)");
    }
}
