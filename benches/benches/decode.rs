//! Decoding frames to their innermost packet: the frames of one batch, over and over, so that they are in the cache.
#![allow(missing_docs, reason = "the macro makes public items")]
#![allow(clippy::expect_used, reason = "a benchmark without its input must stop")]

use divan::counter::ItemsCount;
use kcap_analyze::Packet;
use kcap_analyze::wire::{DecodeConfig, Layers, decode};
use kcap_benches::traffic::{Format, Mix, Request, generate};
use kcap_file::{Batch, LinkType, Reader};
use kcap_samples::built;
use std::io::Cursor;

fn main() {
    divan::main();
}

fn first_batch(bytes: Vec<u8>) -> (Batch, LinkType) {
    let mut reader = Reader::from_read(Box::new(Cursor::new(bytes)), "memory").expect("the capture is whole");
    let mut batch = Batch::default();
    assert!(reader.next_batch(&mut batch));
    let link = reader.info().interfaces[0].link_type;
    (batch, link)
}

#[divan::bench(args = [Mix::Mixed, Mix::Dns, Mix::Small])]
fn traffic(bencher: divan::Bencher<'_, '_>, mix: Mix) {
    let mut bytes = Vec::new();
    let request = Request { mix, size: 2_000_000, seed: 1, format: Format::Pcap };
    generate(request, &mut bytes).expect("memory takes all bytes");
    decode_all(bencher, bytes);
}

/// Link types and tunnels, by the name of their sample.
#[divan::bench(args = [
    "ethernet.pcap", "vlan.pcap", "sll2.pcap", "raw-101.pcap", "vxlan-4789.pcap", "vxlan-by-shape.pcap",
    "geneve-options.pcap", "gre-key.pcap", "ipip.pcap", "mpls.pcap", "erspan-2.pcap", "nested.pcap", "ipv6-extensions.pcap",
])]
fn sample(bencher: divan::Bencher<'_, '_>, name: &str) {
    let files = built::all().expect("samples are built in memory");
    let file = files.into_iter().find(|file| file.name == name).expect("the sample is there");
    decode_all(bencher, file.bytes);
}

fn decode_all(bencher: divan::Bencher<'_, '_>, bytes: Vec<u8>) {
    let (batch, link) = first_batch(bytes);
    let config = DecodeConfig::default();
    let mut layers = Layers::default();
    bencher.counter(ItemsCount::new(batch.records.len())).bench_local(|| {
        for record in &batch.records {
            let mut packet = Packet::default();
            decode(batch.frame(record), link, record.orig_len, &config, &mut packet, &mut layers);
            divan::black_box(&packet);
        }
    });
}
