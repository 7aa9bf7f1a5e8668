//! Files that are not as they should be; what is good of them must be kept.

use super::File;
use super::talk::{ethernet, http_in};
use crate::file::classic::Classic;
use crate::file::pcapng::Pcapng;
use crate::file::{Frame, Order, gzip};
use std::io;

const CASE: &str = "damaged-files";

pub(super) fn files() -> io::Result<Vec<File>> {
    let frames = http_in(ethernet);
    let classic = Classic::new(1).file(&frames);
    let blocks = pcapng(&frames);
    let file = |name, bytes| File::new(CASE, name, bytes);
    Ok(vec![
        file("torn-record.pcap", cut(classic.clone(), 7)),
        file("torn-header.pcap", torn_header(classic.clone())),
        file("torn-block.pcapng", cut(blocks.clone(), 20)),
        file("torn.pcap.gz", cut(gzip(&[&classic])?, 12)),
        file("longer-than-snaplen.pcap", Classic { snaplen: 64, ..Classic::new(1) }.file(&frames)),
        file("corrupt-length.pcap", corrupt_length(&frames)),
        file("corrupt-length.pcapng", corrupt_block(&frames)),
        file("header-only.pcap", Classic::new(1).header()),
    ])
}

fn cut(mut bytes: Vec<u8>, last: usize) -> Vec<u8> {
    bytes.truncate(bytes.len() - last);
    bytes
}

/// Nine bytes of a record header that would follow.
fn torn_header(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.extend_from_slice(&[0; 9]);
    bytes
}

fn pcapng(frames: &[Frame]) -> Vec<u8> {
    let mut file = Pcapng::new();
    file.section(Order::Little, -1, &[]);
    file.interface(1, 0, &[]);
    for frame in frames {
        file.packet(0, frame.ts_ns / 1000, &frame.data, frame.orig_len, &[]);
    }
    file.bytes
}

/// The captured length of the fifth record is far beyond the end of the file.
fn corrupt_length(frames: &[Frame]) -> Vec<u8> {
    let mut bytes = Classic::new(1).file(frames);
    let before = Classic::new(1).file(&frames[..4]).len();
    bytes[before + 8..before + 12].copy_from_slice(&0x7fff_ff00_u32.to_le_bytes());
    bytes
}

/// The length in front of the fifth packet's block cannot be; the one behind it is right.
fn corrupt_block(frames: &[Frame]) -> Vec<u8> {
    let mut bytes = pcapng(frames);
    let before = pcapng(&frames[..4]).len();
    bytes[before + 4..before + 8].copy_from_slice(&0xffff_fff0_u32.to_le_bytes());
    bytes
}
