//! Finding a packet's connection: the same bare segments dealt to one, a thousand or a hundred thousand connections, so
//! that the difference to one connection is what looking up costs.
#![allow(missing_docs, reason = "the macro makes public items")]

use divan::counter::ItemsCount;
use kcap_analyze::table::Null;
use kcap_analyze::{Options, analyze};
use kcap_file::{Batch, CaptureInfo, Direction, Interface, LinkType, Record, Source};
use std::sync::Arc;

fn main() {
    divan::main();
}

const PACKETS: u32 = 1 << 19;
/// Packets of one batch, about what a chunk of a capture file holds.
const BATCH: u32 = 3000;
/// IPv4 and TCP headers without options.
const FRAME: usize = 40;

/// A bare acknowledgement of the connection with this number.
fn segment(connection: u32) -> [u8; FRAME] {
    let mut frame = [0; FRAME];
    frame[..10].copy_from_slice(&[0x45, 0, 0, FRAME as u8, 0, 0, 0x40, 0, 64, 6]);
    frame[12..16].copy_from_slice(&(0x0a00_0000 | connection >> 12).to_be_bytes());
    frame[16..20].copy_from_slice(&[10, 255, 0, 1]);
    frame[20..22].copy_from_slice(&(1024 + (connection & 0xfff) as u16).to_be_bytes());
    frame[22..24].copy_from_slice(&443u16.to_be_bytes());
    frame[32..36].copy_from_slice(&[0x50, 0x10, 1, 0]);
    frame
}

/// Packets from memory, their connections taking turns in an order that no prefetcher guesses.
struct Segments {
    connections: u32,
    next: u32,
    interfaces: Arc<[Interface]>,
}

impl Segments {
    fn of(connections: u32) -> Self {
        let interface = Interface { link_type: LinkType::IPV4, ..Interface::default() };
        Self { connections, next: 0, interfaces: Arc::from([interface]) }
    }
}

impl Source for Segments {
    fn next_batch(&mut self, batch: &mut Batch) -> bool {
        batch.clear();
        batch.data.clear();
        batch.interfaces = Arc::clone(&self.interfaces);
        batch.first_frame = u64::from(self.next) + 1;
        for number in self.next..PACKETS.min(self.next + BATCH) {
            let connection = (u64::from(number.wrapping_mul(0x9e37_79b1)) * u64::from(self.connections)) >> 32;
            let offset = batch.data.len() as u32;
            batch.data.extend_from_slice(&segment(connection as u32));
            let (ts_ns, len) = (i64::from(number) * 1000, FRAME as u32);
            let record =
                Record { ts_ns, offset, caplen: len, orig_len: len, interface: 0, direction: Direction::Unknown };
            batch.records.push(record);
        }
        self.next += batch.records.len() as u32;
        !batch.records.is_empty()
    }

    fn captures(&self) -> &[CaptureInfo] {
        &[]
    }
}

#[divan::bench(args = [1, 1000, 100_000], sample_count = 10)]
fn connections(bencher: divan::Bencher<'_, '_>, connections: u32) {
    bencher.counter(ItemsCount::new(PACKETS)).bench_local(|| {
        let options = Options { threads: 1, ..Options::default() };
        analyze(Box::new(Segments::of(connections)), options, &mut Null)
    });
}
