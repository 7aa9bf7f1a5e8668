//! DNS messages of a client and a server, over UDP or TCP.
#![no_main]

use kcap_fuzz::{Pieces, analyze_frames};
use kcap_samples::file::Frame;
use kcap_samples::packet::{Ethernet, Ipv4, Layer, Tcp, Udp, build, flags};
use std::net::Ipv4Addr;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let (mut pieces, mut frames, mut sent) = (Pieces(bytes), Vec::new(), [1_u32, 1]);
    while let Some(how) = pieces.byte() {
        let (back, over_tcp) = (how & 1 != 0, how & 2 != 0);
        let Some(len) = pieces.byte() else { break };
        let message = pieces.bytes(len.into());
        let (client, server) = (Ipv4Addr::new(10, 0, 0, 1 + (how >> 6)), Ipv4Addr::new(10, 0, 0, 10));
        let (src, dst) = if back { (server, client) } else { (client, server) };
        let (from, to) = if back { (53, 40_000) } else { (40_000, 53) };
        let seq = sent[usize::from(back)];
        let transport: Layer = if over_tcp {
            sent[usize::from(back)] += u32::from(len);
            let ack = sent[usize::from(!back)];
            Tcp { src: from, dst: to, seq, ack, flags: flags::ACK, window: 1000, ..Tcp::default() }.into()
        } else {
            Udp::new(from, to).into()
        };
        let at = 1_700_000_000_000_000_000 + frames.len() as u64 * (1_000_000 << (how >> 2 & 15));
        frames
            .push(Frame::new(at, build(&[Ethernet::new(1, 2).into(), Ipv4::new(src, dst).into(), transport], message)));
    }
    analyze_frames(1, &frames);
});
