//! gzip and zstd on a thread of their own, which hands on chunks and gets them back.

use crate::Compression;
use flate2::bufread::GzDecoder;
use std::io::{self, BufRead, BufReader, Read};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;

/// Bytes of a chunk.
const CHUNK: usize = 256 * 1024;
/// Compressed bytes read at a time.
const COMPRESSED: usize = 64 * 1024;
/// Chunks on their way.
const CHUNKS: usize = 4;
/// 128 MiB: what `zstd -d` takes without `--long` or `--memory`. More would let a small file claim any memory.
const WINDOW_LOG_MAX: u32 = 27;

/// The compression of a file that starts with these bytes.
pub(super) fn sniff(head: &[u8]) -> Compression {
    match head {
        [0x1f, 0x8b, 8, ..] => Compression::Gzip,
        // The last is a skippable frame, which some writers (pzstd, seekable zstd) start with.
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Compression::Zstd,
        _ => Compression::None,
    }
}

/// Bytes that are no compressed data follow the last member.
#[derive(Debug, thiserror::Error)]
#[error("bytes that are no compressed data follow the compressed data")]
pub(super) struct Trailing;

/// Reads what a thread decompresses. An error ends the data; what was good before it has been read then.
pub(super) struct Decompressed {
    chunks: Receiver<io::Result<Vec<u8>>>,
    used: Sender<Vec<u8>>,
    current: Vec<u8>,
    at: usize,
}

impl Decompressed {
    pub(super) fn start(input: Box<dyn Read + Send>, compression: Compression) -> io::Result<Self> {
        let (full, chunks) = sync_channel(CHUNKS);
        let (used, empty) = channel();
        thread::Builder::new().name("decompress".to_owned()).spawn(move || {
            if let Err(error) = direct(input, compression).and_then(|input| pump(input, &full, &empty)) {
                // Nobody reads any more when this fails.
                let _ = full.send(Err(error));
            }
        })?;
        Ok(Self { chunks, used, current: Vec::new(), at: 0 })
    }
}

impl Read for Decompressed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.current.len() {
            let Ok(next) = self.chunks.recv() else { return Ok(0) };
            let spent = std::mem::replace(&mut self.current, next?);
            self.at = 0;
            // The thread is gone when this fails: it has sent all it has.
            let _ = self.used.send(spent);
        }
        let rest = self.current.get(self.at..).unwrap_or_default();
        let len = rest.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..len), rest.get(..len)) {
            to.copy_from_slice(from);
        }
        self.at += len;
        Ok(len)
    }
}

/// Moves everything `input` gives into chunks, as long as somebody takes them.
fn pump(mut input: impl Read, full: &SyncSender<io::Result<Vec<u8>>>, empty: &Receiver<Vec<u8>>) -> io::Result<()> {
    loop {
        let mut chunk = empty.try_recv().unwrap_or_default();
        chunk.resize(CHUNK, 0);
        let (len, end) = fill(&mut input, &mut chunk);
        chunk.truncate(len);
        let unwanted = len > 0 && full.send(Ok(chunk)).is_err();
        if unwanted || end? {
            return Ok(());
        }
    }
}

/// Reads until the buffer is full (false), or the input ends (true) or fails.
pub(super) fn fill(input: &mut impl Read, buffer: &mut [u8]) -> (usize, io::Result<bool>) {
    let mut len = 0;
    loop {
        match buffer.get_mut(len..) {
            None | Some([]) => return (len, Ok(false)),
            Some(rest) => match input.read(rest) {
                Ok(0) => return (len, Ok(true)),
                Ok(more) => len += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return (len, Err(error)),
            },
        }
    }
}

/// Decompresses on the thread that reads.
pub(super) fn direct(input: Box<dyn Read + Send>, compression: Compression) -> io::Result<Box<dyn Read + Send>> {
    Ok(match compression {
        Compression::None => input,
        Compression::Gzip => {
            let decoder = Some(GzDecoder::new(BufReader::with_capacity(COMPRESSED, input)));
            Box::new(Members { decoder, fresh: false })
        }
        Compression::Zstd => {
            let mut decoder = zstd::Decoder::new(input)?;
            decoder.window_log_max(WINDOW_LOG_MAX)?;
            Box::new(decoder)
        }
    })
}

/// gzip members one after the other. Zeros behind the last are padding, as for gzip; other bytes are [`Trailing`].
struct Members<R> {
    decoder: Option<GzDecoder<R>>,
    /// A second or later member, of which nothing has come yet.
    fresh: bool,
}

impl<R: BufRead> Members<R> {
    /// Whether another member follows.
    fn advance(&mut self) -> io::Result<bool> {
        let Some(decoder) = self.decoder.take() else { return Ok(false) };
        let mut input = decoder.into_inner();
        loop {
            let bytes = input.fill_buf()?;
            let zeros = bytes.iter().take_while(|&&b| b == 0).count();
            match bytes.get(zeros) {
                Some(0x1f) => break,
                Some(_) => return Err(io::Error::other(Trailing)),
                None if bytes.is_empty() => return Ok(false),
                None => {}
            }
            input.consume(zeros);
        }
        let zeros = input.fill_buf()?.iter().take_while(|&&b| b == 0).count();
        input.consume(zeros);
        self.decoder = Some(GzDecoder::new(input));
        self.fresh = true;
        Ok(true)
    }
}

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let Some(decoder) = &mut self.decoder else { return Ok(0) };
            match decoder.read(buffer) {
                Ok(0) if !buffer.is_empty() => {
                    if !self.advance()? {
                        return Ok(0);
                    }
                }
                Ok(len) => {
                    self.fresh = false;
                    return Ok(len);
                }
                // No gzip header after all.
                Err(error) if self.fresh && error.kind() == io::ErrorKind::InvalidInput => {
                    return Err(io::Error::other(Trailing));
                }
                Err(error) => return Err(error),
            }
        }
    }
}
