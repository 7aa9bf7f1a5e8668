//! Segments of one TCP connection: sequence numbers, acknowledgements, flags, windows, options and payload as they come.
#![no_main]

use kcap_fuzz::{Pieces, analyze_frames};
use kcap_samples::file::Frame;
use kcap_samples::packet::{Ethernet, Ipv4, Tcp, build};
use std::net::Ipv4Addr;

/// One segment: who sends it, when, and what it is.
fn segment(pieces: &mut Pieces<'_>, ns: &mut u64) -> Option<Frame> {
    let how = pieces.byte()?;
    *ns += 1_000 << (how >> 2 & 31);
    let (a, b) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
    let (src, dst, from, to) = if how & 1 == 0 { (a, b, 40_000, 80) } else { (b, a, 80, 40_000) };
    // Near where the number space wraps.
    let number = |offset: u16| u32::from(offset).wrapping_sub(0x8000);
    let (seq, ack) = (number(pieces.short()?), number(pieces.short()?));
    let (flags, window, lens) = (pieces.byte()?, pieces.short()?, pieces.byte()?);
    let options = pieces.bytes(usize::from(lens >> 5) * 4).to_vec();
    let options = [&options[..], &[0, 0, 0][..(4 - options.len() % 4) % 4]].concat();
    let payload = pieces.bytes(usize::from(lens & 31) * usize::from(1 + (how & 2) * 40));
    let tcp = Tcp { src: from, dst: to, seq, ack, flags, window, options };
    let ip = Ipv4 { id: pieces.byte().unwrap_or_default().into(), ..Ipv4::new(src, dst) };
    Some(Frame::new(*ns, build(&[Ethernet::new(1, 2).into(), ip.into(), tcp.into()], payload)))
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let (mut pieces, mut ns) = (Pieces(bytes), 1_700_000_000_000_000_000);
    let frames: Vec<Frame> = std::iter::from_fn(|| segment(&mut pieces, &mut ns)).collect();
    analyze_frames(1, &frames);
});
