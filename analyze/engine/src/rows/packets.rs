//! Packets to rows, a column at a time: they are the only table with a row a frame.

use crate::Packet;
use crate::collect::Names;
use crate::ingest::Work;
use crate::packet::Kind;
use crate::table::{Fill, Rows};
use crate::track::FrameId;

/// Packets whose columns are filled before the next packets are looked at: these stay in the nearest cache.
const BLOCK: usize = 256;

/// Appends packets of one chunk, whose first frame is `first`.
pub(crate) fn packets(packets: &[&Packet], first: FrameId, names: &Names, rows: &mut Rows) {
    packets.chunks(BLOCK).for_each(|block| fill(block, first, names, rows));
}

fn fill(packets: &[&Packet], first: FrameId, names: &Names, rows: &mut Rows) {
    let addressed = |packet: &Packet| packet.kind != Kind::Other;
    let tunnel = |packet: &Packet| names.tunnel(packet.tunnel);
    let mut fill = Fill::new(rows, packets);
    fill.same_label("capture", names.capture_label(first.capture()));
    fill.label("point", |packet| names.point_label(packet.point));
    fill.int64("frame", |packet| (first.frame() + u64::from(packet.index)) as i64);
    fill.int64("ts_ns", |packet| packet.ts_ns);
    fill.time("ts", |packet| packet.ts_ns);
    fill.name("kind", |packet| packet.kind.name());
    fill.some_addr("src_addr", |packet| addressed(packet).then_some(packet.src));
    fill.some_addr("dst_addr", |packet| addressed(packet).then_some(packet.dst));
    fill.int32("src_port", |packet| packet.src_port.into());
    fill.int32("dst_port", |packet| packet.dst_port.into());
    fill.int32("proto", |packet| packet.proto.into());
    fill.int32("ip_bytes", |packet| packet.ip_len as i32);
    fill.int32("payload_bytes", |packet| packet.payload_len as i32);
    fill.int32("ttl", |packet| packet.ttl.into());
    fill.int32("ip_id", |packet| packet.ip_id.into());
    fill.int32("tcp_flags", |packet| packet.flags.0.into());
    fill.int64("seq", |packet| packet.seq.into());
    fill.int64("ack", |packet| packet.ack.into());
    fill.int32("window", |packet| packet.window.into());
    fill.some_name("tunnel", |packet| tunnel(packet).map(|tunnel| tunnel.kind.name()));
    fill.some_int64("tunnel_id", |packet| tunnel(packet).and_then(|tunnel| tunnel.id).map(Into::into));
    fill.bool("snapped", |packet| packet.bits.is_snapped());
    fill.end();
}

/// All packets of a chunk, sorted by counting: a frame has one, or few.
pub(crate) fn in_frame_order(work: &Work) -> Vec<&Packet> {
    let all = || work.shards.iter().flatten().chain(&work.untracked);
    let Some(first) = all().next() else { return Vec::new() };
    let last = all().map(|packet| packet.index as usize).max().unwrap_or_default();
    let mut places = vec![0_u32; last + 2];
    all().for_each(|packet| places[packet.index as usize + 1] += 1);
    for at in 1..places.len() {
        places[at] += places[at - 1];
    }
    let mut order = vec![first; all().count()];
    for packet in all() {
        let place = &mut places[packet.index as usize];
        order[*place as usize] = packet;
        *place += 1;
    }
    order
}
