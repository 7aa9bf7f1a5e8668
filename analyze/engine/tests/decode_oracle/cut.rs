//! Every frame once more, cut to several lengths: a shorter capture tells a prefix of the layers, never others.

use kcap_analyze::Packet;
use kcap_analyze::wire::{self, DecodeConfig, Layers, Stop};
use kcap_file::{Batch, LinkType, Reader};
use std::path::Path;

/// Lengths around the headers of a packet in two tunnels, not multiples of anything.
const LENGTHS: [usize; 10] = [1, 13, 33, 47, 61, 79, 90, 111, 127, 199];

/// Cuts the frames of one file; how many cuts were compared.
pub(crate) fn file(path: &Path) -> u64 {
    let Ok(mut reader) = Reader::open(path) else { return 0 };
    let (mut batch, mut compared) = (Batch::default(), 0);
    while reader.next_batch(&mut batch) {
        for (number, record) in (batch.first_frame..).zip(&batch.records) {
            let frame = batch.frame(record);
            let link = batch.interfaces[record.interface as usize].link_type;
            let whole = decode(frame, link, record.orig_len);
            for cut in LENGTHS.iter().filter_map(|&len| frame.get(..len)) {
                let wire_len = record.orig_len.max(frame.len() as u32);
                assert_prefix(&decode(cut, link, wire_len), &whole, &format!("{}:{number}", path.display()));
                compared += 1;
            }
        }
    }
    compared
}

fn decode(frame: &[u8], link: LinkType, wire_len: u32) -> (Packet, Layers) {
    let (mut packet, mut layers) = (Packet::default(), Layers::default());
    wire::decode(frame, link, wire_len, &DecodeConfig::default(), &mut packet, &mut layers);
    (packet, layers)
}

fn assert_prefix((packet, cut): &(Packet, Layers), (whole, all): &(Packet, Layers), place: &str) {
    let lists = || format!("{place}: {:?} of {:?}", cut.list(), all.list());
    assert!(all.list().starts_with(cut.list()), "{}", lists());
    assert!(all.outers().starts_with(cut.outers()), "{}", lists());
    if cut.list() == all.list() {
        assert_eq!((packet.src, packet.dst, packet.kind), (whole.src, whole.dst, whole.kind), "{}", lists());
        let transport = |packet: &Packet| [packet.src_port.into(), packet.dst_port.into(), packet.seq];
        let same_or_none = |(ours, theirs): (u32, u32)| ours == theirs || ours == 0;
        assert!(transport(packet).into_iter().zip(transport(whole)).all(same_or_none), "{}", lists());
        assert_eq!((packet.payload_len, packet.ip_len), (whole.payload_len, whole.ip_len), "{}", lists());
    }
    if let Stop::Malformed(_) = cut.stop {
        assert!(matches!(all.stop, Stop::Malformed(_)), "{}: {:?} of {:?}", lists(), cut.stop, all.stop);
    }
}
