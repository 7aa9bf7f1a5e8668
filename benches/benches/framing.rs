//! Walking a capture file: bytes in, batches of records out, nothing decoded.
#![allow(missing_docs, reason = "the macro makes public items")]
#![allow(clippy::expect_used, reason = "a benchmark without its input must stop")]

use divan::counter::{BytesCount, ItemsCount};
use kcap_benches::traffic::{Format, Mix, Request, generate};
use kcap_file::{Batch, Reader};
use std::io::Cursor;
use std::sync::Arc;

fn main() {
    divan::main();
}

const SIZE: u64 = 16_000_000;

fn capture(mix: Mix, format: Format) -> Arc<[u8]> {
    let mut bytes = Vec::new();
    generate(Request { mix, size: SIZE, seed: 1, format }, &mut bytes).expect("memory takes all bytes");
    bytes.into()
}

fn records(bytes: &Arc<[u8]>) -> usize {
    let mut reader =
        Reader::from_read(Box::new(Cursor::new(Arc::clone(bytes))), "memory").expect("the capture is whole");
    let (mut batch, mut records) = (Batch::default(), 0);
    while reader.next_batch(&mut batch) {
        records += batch.records.len();
    }
    records
}

#[divan::bench(args = [Mix::Mixed, Mix::Small])]
fn classic(bencher: divan::Bencher<'_, '_>, mix: Mix) {
    walk(bencher, &capture(mix, Format::Pcap));
}

#[divan::bench(args = [Mix::Mixed, Mix::Small])]
fn pcapng(bencher: divan::Bencher<'_, '_>, mix: Mix) {
    walk(bencher, &capture(mix, Format::Pcapng));
}

fn walk(bencher: divan::Bencher<'_, '_>, bytes: &Arc<[u8]>) {
    let count = records(bytes);
    bencher
        .counter(BytesCount::new(bytes.len()))
        .counter(ItemsCount::new(count))
        .bench(|| assert_eq!(records(divan::black_box(bytes)), count));
}
