//! Messages between the process that captures and the one that opens: JSON, and descriptors beside it.

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{self, IoSlice, IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

/// Descriptors of one message. The kernel takes 253 (`SCM_MAX_FD`).
pub(super) const MAX_DESCRIPTORS: usize = 128;
/// Bytes of one message. Tables of connection tracking are the longest.
const MAX_BYTES: usize = 256 << 20;

/// Sends a message.
pub(super) fn send(stream: &UnixStream, message: &impl Serialize, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let body = serde_json::to_vec(message)?;
    let length = u32::try_from(body.len()).map_err(|_| io::ErrorKind::FileTooLarge)?.to_le_bytes();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut beside = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !beside.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::ErrorKind::ArgumentListTooLong.into());
    }
    again(|| sendmsg(stream, &[IoSlice::new(&length)], &mut beside, SendFlags::NOSIGNAL))?;
    { stream }.write_all(&body)
}

/// Receives a message; nothing when there will be no more.
pub(super) fn receive<T: DeserializeOwned>(stream: &UnixStream) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    let mut length = [0; 4];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut beside = RecvAncillaryBuffer::new(&mut space);
    let received =
        again(|| recvmsg(stream, &mut [IoSliceMut::new(&mut length)], &mut beside, RecvFlags::CMSG_CLOEXEC))?;
    if received.bytes == 0 {
        return Ok(None);
    }
    let descriptors = beside.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
        _ => None,
    });
    let descriptors = descriptors.flatten().collect();
    { stream }.read_exact(length.get_mut(received.bytes..).unwrap_or_default())?;
    let length = u32::from_le_bytes(length) as usize;
    if length > MAX_BYTES {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut body = vec![0; length];
    { stream }.read_exact(&mut body)?;
    Ok(Some((serde_json::from_slice(&body)?, descriptors)))
}

fn again<T>(mut call: impl FnMut() -> Result<T, Errno>) -> io::Result<T> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            done => return done.map_err(io::Error::from),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{receive, send};
    use std::io::{Read as _, Seek as _, Write as _};
    use std::os::fd::AsFd as _;
    use std::os::unix::net::UnixStream;

    #[test]
    fn descriptors_come_with_their_message() {
        let (here, there) = UnixStream::pair().unwrap();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"kept").unwrap();
        send(&here, &"none", &[]).unwrap();
        send(&here, &"one", &[file.as_fd()]).unwrap();
        drop(here);
        let none: (String, Vec<_>) = receive(&there).unwrap().unwrap();
        assert_eq!((none.0.as_str(), none.1.len()), ("none", 0));
        let (text, mut descriptors): (String, Vec<_>) = receive(&there).unwrap().unwrap();
        let mut same = std::fs::File::from(descriptors.pop().unwrap());
        let mut read = String::new();
        same.rewind().unwrap();
        same.read_to_string(&mut read).unwrap();
        assert_eq!((text.as_str(), read.as_str(), descriptors.len()), ("one", "kept", 0));
        assert!(receive::<String>(&there).unwrap().is_none());
    }

    #[test]
    fn a_message_that_is_cut_is_an_error() {
        let (mut here, there) = UnixStream::pair().unwrap();
        here.write_all(&[9, 0, 0, 0, b'"']).unwrap();
        drop(here);
        assert!(receive::<String>(&there).is_err());
    }
}
