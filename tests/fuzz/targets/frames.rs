//! Frames of any link type, past the file format: a byte that chooses the link type, then length and bytes of each.
#![no_main]

use kcap_fuzz::{Pieces, analyze_frames};
use kcap_samples::file::Frame;

/// Ethernet, SLL, SLL2, raw IP, null, loop, IPv4, IPv6, PPPoE's and one that is not decoded.
const LINKS: [u32; 10] = [1, 113, 276, 101, 0, 108, 228, 229, 12, 147];

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut pieces = Pieces(bytes);
    let Some(link) = pieces.byte() else { return };
    let mut frames = Vec::new();
    while let Some(len) = pieces.byte() {
        // Steps of 1 ms to 4 s, so that timers of all kinds pass.
        let step = 1_000_000 << (len % 13);
        let before = frames.last().map_or(1_700_000_000_000_000_000, |frame: &Frame| frame.ts_ns);
        frames.push(Frame::new(before + step, pieces.bytes(len.into()).to_vec()));
    }
    analyze_frames(LINKS[usize::from(link) % LINKS.len()], &frames);
});
