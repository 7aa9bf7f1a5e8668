//! Reading captures: chunks of bytes in, batches of records out.

mod chunk;
mod classic;
mod decompress;
mod pcapng;

use self::chunk::{CHUNK, Chunk, Out, Pending, last_frame};
use self::classic::Classic;
use self::decompress::{Decompressed, Trailing, fill};
use self::pcapng::Pcapng;
use crate::{Batch, CaptureInfo, Compression, FileKind, Format, Interface, Problem, ProblemKind, ReadError, Record};
use std::error::Error;
use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::Path;
use std::sync::Arc;

/// Bytes looked at to tell the kind of a file.
const HEAD: usize = 4096;

/// What a capture is read from.
type Input = Box<dyn Read + Send>;

/// Where batches come from, in the order they are to be analysed.
pub trait Source: Send {
    /// Fills `batch` with the next records. False when there are none left; `batch` is empty then.
    fn next_batch(&mut self, batch: &mut Batch) -> bool;

    /// What is known of the files read so far, complete when `next_batch` has returned false.
    fn captures(&self) -> &[CaptureInfo];
}

/// Reads one capture file.
///
/// Memory is bounded: a chunk of 256 KiB at a time, more only for a record longer than that (16 MiB at most), plus at
/// most 16 MiB of names, comments and custom blocks.
pub struct Reader {
    input: Input,
    walker: Walker,
    info: CaptureInfo,
    /// Read, not walked yet: the start of the next chunk.
    carry: Carry,
    /// Where `carry` starts in the file.
    base: u64,
    /// Bytes to read at a time, now and at most.
    chunk: usize,
    max_chunk: usize,
    /// Bytes the next chunk must have at least.
    need: usize,
    ended: bool,
    /// What ended the input, until what came before it is counted.
    error: Option<io::Error>,
    interfaces: Arc<[Interface]>,
}

/// Bytes read and not walked yet.
struct Carry {
    bytes: Vec<u8>,
    start: usize,
}

impl Carry {
    fn bytes(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    fn len(&self) -> usize {
        self.bytes().len()
    }

    fn is_empty(&self) -> bool {
        self.bytes().is_empty()
    }

    fn consume(&mut self, len: usize) {
        self.start += len;
    }

    fn replace(&mut self, bytes: &[u8]) {
        self.bytes.clear();
        self.bytes.extend_from_slice(bytes);
        self.start = 0;
    }
}

enum Walker {
    Classic(Classic),
    Pcapng(Pcapng),
}

impl Walker {
    fn walk(&mut self, chunk: &Chunk<'_>, out: &mut Out<'_>) -> Pending {
        match self {
            Self::Classic(classic) => classic.walk(chunk, out),
            Self::Pcapng(pcapng) => pcapng.walk(chunk, out),
        }
    }
}

impl Reader {
    /// Opens a file; its kind and compression are told by its bytes, never by its name.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, ReadError> {
        let path = path.as_ref();
        let failed = |source| ReadError::Open { path: path.to_owned(), source };
        let file = File::open(path).map_err(failed)?;
        if file.metadata().map_err(failed)?.is_dir() {
            return Err(ReadError::Folder { path: path.to_owned() });
        }
        Self::from_read(Box::new(file), path.display().to_string())
    }

    /// Reads a capture from anything, such as standard input. Blocks until its first bytes have come.
    pub fn from_read(input: Box<dyn Read + Send>, name: impl Into<String>) -> Result<Self, ReadError> {
        Self::with(input, name.into(), |input, compression| Ok(Box::new(Decompressed::start(input, compression)?)))
    }

    /// For a look at the first records only: no thread, small chunks.
    pub(crate) fn for_a_look(file: File, name: String) -> Result<Self, ReadError> {
        let reader = Self::with(Box::new(file), name, decompress::direct)?;
        Ok(Self { chunk: HEAD, max_chunk: HEAD, ..reader })
    }

    fn with(
        input: Input,
        name: String,
        unpack: fn(Input, Compression) -> io::Result<Input>,
    ) -> Result<Self, ReadError> {
        let (input, head) = peek(input).map_err(|source| ReadError::Read { name: name.clone(), source })?;
        match decompress::sniff(&head) {
            Compression::None => Self::start(input, &head, name, Compression::None),
            compression => {
                let failed = |source| ReadError::Decompress { name: name.clone(), source };
                let whole = Box::new(Cursor::new(head).chain(input));
                let (input, head) = unpack(whole, compression).and_then(peek).map_err(failed)?;
                Self::start(input, &head, name, compression)
            }
        }
    }

    fn start(input: Input, head: &[u8], name: String, compression: Compression) -> Result<Self, ReadError> {
        let mut info = CaptureInfo { name, compression, ..CaptureInfo::default() };
        let (walker, file_header) = if pcapng::is_pcapng(head) {
            info.format = Format::Pcapng;
            (Walker::Pcapng(Pcapng::new()), 0)
        } else if let Some((classic, format, interface)) = Classic::new(head) {
            info.format = format;
            info.interfaces.push(interface);
            (Walker::Classic(classic), classic::FILE_HEADER)
        } else {
            return Err(refuse(info.name, head));
        };
        info.file_bytes = head.len() as u64;
        let carry = Carry { bytes: head.get(file_header..).unwrap_or_default().to_vec(), start: 0 };
        let interfaces = info.interfaces.clone().into();
        let base = file_header as u64;
        Ok(Self {
            input,
            walker,
            info,
            carry,
            base,
            chunk: CHUNK,
            max_chunk: CHUNK,
            need: 0,
            ended: false,
            error: None,
            interfaces,
        })
    }

    /// Fills `batch` with the next records of the file. False when there are none left; `batch` is empty then.
    pub fn next_batch(&mut self, batch: &mut Batch) -> bool {
        batch.clear();
        while batch.records.is_empty() && !(self.ended && self.carry.is_empty()) {
            let len = self.fill(&mut batch.data);
            let bytes = batch.data.get(..len).unwrap_or_default();
            let chunk = Chunk { bytes, base: self.base, last: self.ended && len >= self.carry.len() };
            let mut out = Out { records: &mut batch.records, info: &mut self.info };
            let pending = self.walker.walk(&chunk, &mut out);
            self.advance(bytes, pending);
        }
        batch.first_frame = last_frame(&self.info).saturating_add(1);
        self.count(&batch.records);
        if self.interfaces.len() != self.info.interfaces.len() {
            self.interfaces = self.info.interfaces.clone().into();
        }
        batch.interfaces = Arc::clone(&self.interfaces);
        !batch.records.is_empty()
    }

    /// Keeps what the walker has left of a chunk for the next one. Small chunks after a gap keep the cost of many gaps
    /// down: what is left is looked at again.
    fn advance(&mut self, bytes: &[u8], pending: Pending) {
        if bytes.len() <= self.carry.len() {
            self.carry.consume(pending.at);
        } else {
            self.carry.replace(bytes.get(pending.at..).unwrap_or_default());
        }
        self.base = self.base.saturating_add(pending.at as u64);
        self.need = pending.need;
        self.chunk = if pending.gap { HEAD } else { self.chunk.saturating_mul(2).min(self.max_chunk) };
    }

    /// What is known of the file so far.
    pub fn info(&self) -> &CaptureInfo {
        &self.info
    }

    /// What the file says about itself, when it has been read as far as one wants.
    pub fn into_info(self) -> CaptureInfo {
        self.info
    }

    /// Puts what was carried over and the next bytes of the file into `data`; how many bytes that is.
    ///
    /// Twice what the walker needs is read, so that a file full of corrupt lengths costs no more than linear time.
    fn fill(&mut self, data: &mut Vec<u8>) -> usize {
        let size = self.chunk.max(self.need.saturating_mul(2));
        let kept = size.max(self.max_chunk);
        if data.len() > kept.saturating_mul(4) {
            data.truncate(kept);
            data.shrink_to_fit();
        }
        if data.len() < size {
            data.resize(size, 0);
        }
        let (carried, rest) = data.split_at_mut(self.carry.len().min(size));
        carried.copy_from_slice(self.carry.bytes().get(..carried.len()).unwrap_or_default());
        let space = size.saturating_sub(carried.len());
        if space == 0 || self.ended {
            return carried.len();
        }
        let (len, end) = fill(&mut self.input, rest.get_mut(..space).unwrap_or_default());
        self.info.file_bytes = self.info.file_bytes.saturating_add(len as u64);
        match end {
            Ok(ended) => self.ended |= ended,
            Err(error) => (self.ended, self.error) = (true, Some(error)),
        }
        carried.len() + len
    }

    /// Adds records to the capture's sums. A time of 0 is none: simple packet blocks have no other.
    fn count(&mut self, records: &[Record]) {
        let info = &mut self.info;
        let (mut bytes, mut captured) = (0u64, 0u64);
        let (mut first, mut last) = (info.first_ns.unwrap_or(i64::MAX), info.last_ns.unwrap_or(i64::MIN));
        for record in records {
            bytes += u64::from(record.orig_len);
            captured += u64::from(record.caplen);
            if record.ts_ns != 0 {
                first = first.min(record.ts_ns);
                last = last.max(record.ts_ns);
            }
        }
        info.packets += records.len() as u64;
        info.bytes += bytes;
        info.captured_bytes += captured;
        if first <= last {
            (info.first_ns, info.last_ns) = (Some(first), Some(last));
        }
        if let Some(error) = self.error.take() {
            self.failed(&error);
        }
    }

    /// The input gave an error: what came before it is kept.
    fn failed(&mut self, error: &io::Error) {
        let kind = if error.get_ref().is_some_and(<dyn Error + Send + Sync>::is::<Trailing>) {
            ProblemKind::TrailingGarbage
        } else if self.info.compression == Compression::None {
            self.info.failure = Some(format!("cannot read on: {error}"));
            ProblemKind::ReadFailed
        } else {
            ProblemKind::CorruptCompression
        };
        let (offset, after_frame) = (self.info.file_bytes, last_frame(&self.info));
        chunk::note(&mut self.info, Problem { kind, offset, after_frame, skipped_bytes: 0 });
    }
}

impl Source for Reader {
    fn next_batch(&mut self, batch: &mut Batch) -> bool {
        Self::next_batch(self, batch)
    }

    fn captures(&self) -> &[CaptureInfo] {
        std::slice::from_ref(&self.info)
    }
}

/// The first bytes, and the input behind them. An error after the first byte comes back with the next read.
fn peek(mut input: Input) -> io::Result<(Input, Vec<u8>)> {
    let mut head = vec![0; HEAD];
    let (len, end) = fill(&mut input, &mut head);
    head.truncate(len);
    match end {
        Err(error) if len == 0 => Err(error),
        Err(error) => Ok((Box::new(Broken(Some(error))), head)),
        Ok(_) => Ok((input, head)),
    }
}

/// An input that has failed.
struct Broken(Option<io::Error>);

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        self.0.take().map_or(Ok(0), Err)
    }
}

/// Why a file that starts with these bytes is not read.
fn refuse(name: String, head: &[u8]) -> ReadError {
    if head.is_empty() {
        ReadError::Empty { name }
    } else if classic::sniff(head).is_some() {
        ReadError::Short { name }
    } else {
        ReadError::NotACapture { name, kind: FileKind::of(head) }
    }
}
