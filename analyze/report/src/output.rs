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
