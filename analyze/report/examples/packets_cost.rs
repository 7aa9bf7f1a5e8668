//! What a row of the packet table costs: fills rows as a 3.1 million packet capture would and writes them.
//!
//! `cargo run --release -p kcap-report --example packets_cost -- DIR [FORMAT] [ROWS]`; CPU and peak memory are those
//! of the whole process, so run it under `/usr/bin/time -v`, once with `none` as format for the cost of filling alone.
#![allow(clippy::print_stdout, missing_docs, reason = "an example prints and is no library")]

use kcap_analyze::{
    Addr,
    table::{Cell, Column, ColumnSpec, Label, Null, Row, Rows, Sink, TableSpec, Time},
};
use kcap_report::{Format, Layout, TableDir};
use std::{error::Error, path::Path, sync::Arc, time::Instant};

macro_rules! row {
    ($($field:ident: $ty:ty),+ $(,)?) => {
        #[derive(Default)]
        struct Packet { $($field: $ty),+ }

        const SPEC: TableSpec = TableSpec {
            name: "packets",
            doc: "One frame.",
            columns: &[$(ColumnSpec {
                name: stringify!($field), ty: <$ty as Cell>::TYPE, nullable: <$ty as Cell>::NULLABLE, doc: "",
            }),+],
        };

        impl Row for Packet {
            const SPEC: TableSpec = SPEC;

            fn push(&self, columns: &mut [Column]) {
                let mut columns = columns.iter_mut();
                $(if let Some(column) = columns.next() { self.$field.push(column); })+
            }
        }
    };
}

row! {
    capture: Label, point: Label, frame: i64, ts_ns: i64, ts: Time, len: i32, caplen: i32, layers: Label,
    src: Addr, dst: Addr, src_port: Option<i32>, dst_port: Option<i32>, proto: i32, ip_len: i32, payload: i32,
    ttl: i32, ip_id: i32, tunnel: Option<i32>, flags: Option<Label>, seq: Option<i64>, ack: Option<i64>,
    window: Option<i32>, tsval: Option<i64>, flow: i64, malformed: bool, snapped: bool,
}

/// A small generator of numbers that look random (Vigna's splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

struct Flow {
    src: Addr,
    dst: Addr,
    ports: (i32, i32),
    seq: [u32; 2],
    ip_id: [u16; 2],
    tunnel: Option<i32>,
}

struct Capture {
    random: Random,
    flows: Vec<Flow>,
    labels: [Label; 6],
    ts_ns: i64,
    frame: i64,
}

impl Capture {
    fn new() -> Self {
        let mut random = Random(7);
        let flows = (0..4000).map(|_| flow(&mut random)).collect();
        let labels = ["big.pcap", "eth0", "eth:ip4:udp:vxlan:eth:ip4:tcp", "eth:ip4:tcp", "A", "PA"]
            .map(|t| Arc::<str>::from(t).into());
        Self { random, flows, labels, ts_ns: 1_700_000_000_000_000_000, frame: 0 }
    }

    fn next(&mut self) -> Packet {
        self.frame += 1;
        self.ts_ns += 500 + self.random.below(20_000) as i64;
        // A window of live flows that moves on, so that flows come and go.
        let flow = (self.frame as u64 / 800 + self.random.below(200)) % self.flows.len() as u64;
        let back = self.random.below(2) as usize;
        let payload = if back == 0 { 1400 } else { self.random.below(2) as i32 * 120 };
        let live = &mut self.flows[flow as usize];
        live.seq[back] = live.seq[back].wrapping_add(payload as u32);
        live.ip_id[back] = live.ip_id[back].wrapping_add(1);
        let [capture, point, inner, plain, a, pa] = &self.labels;
        let (from, to) = if back == 0 { (live.src, live.dst) } else { (live.dst, live.src) };
        let (from_port, to_port) = if back == 0 { live.ports } else { (live.ports.1, live.ports.0) };
        Packet {
            capture: capture.clone(),
            point: point.clone(),
            frame: self.frame,
            ts_ns: self.ts_ns,
            ts: Time(self.ts_ns),
            len: payload + 66,
            caplen: payload + 66,
            layers: if live.tunnel.is_some() { inner.clone() } else { plain.clone() },
            src: from,
            dst: to,
            src_port: Some(from_port),
            dst_port: Some(to_port),
            proto: 6,
            ip_len: payload + 52,
            payload,
            ttl: 64 - (flow % 3) as i32,
            ip_id: live.ip_id[back].into(),
            tunnel: live.tunnel,
            flags: Some(if payload > 0 { pa.clone() } else { a.clone() }),
            seq: Some(live.seq[back].into()),
            ack: Some(live.seq[1 - back].into()),
            window: Some(501),
            tsval: Some(self.ts_ns / 1_000_000 % (1 << 32) + flow as i64 * 777_777),
            flow: flow as i64,
            ..Packet::default()
        }
    }
}

fn flow(random: &mut Random) -> Flow {
    let host = |random: &mut Random| Addr::v4([10, 244, random.below(20) as u8, random.below(100) as u8]);
    Flow {
        src: host(random),
        dst: host(random),
        ports: (32768 + random.below(28000) as i32, 8080),
        seq: [random.next() as u32, random.next() as u32],
        ip_id: [random.next() as u16, random.next() as u16],
        tunnel: random.below(2).eq(&0).then_some(1),
    }
}

fn fill(rows: usize, sink: &mut dyn Sink) -> Result<(), Box<dyn Error>> {
    let mut capture = Capture::new();
    let mut pending = Rows::new(SPEC);
    for _ in 0..rows {
        pending.push(&capture.next());
        if pending.len == 10_000 {
            sink.write(&mut pending)?;
            pending.clear();
        }
    }
    Ok(sink.write(&mut pending)?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let dir = args.next().ok_or("usage: packets_cost DIR [FORMAT] [ROWS]")?;
    let format = args.next().unwrap_or_else(|| "parquet".into());
    let rows = args.next().map_or(Ok(3_100_000), |text| text.parse())?;
    let start = Instant::now();
    match Format::find(&format) {
        None => fill(rows, &mut Null)?,
        Some(format) => {
            let layout = Layout { format, tables: &[SPEC], without: Vec::new(), overwrite: true };
            let mut tables = TableDir::create(Path::new(&dir), layout)?;
            fill(rows, &mut tables)?;
            for path in tables.finish()? {
                println!("{} {} bytes", path.display(), path.metadata()?.len());
            }
        }
    }
    println!("{format}: {rows} rows, {:.0} ns a row", start.elapsed().as_nanos() as f64 / rows as f64);
    Ok(())
}
