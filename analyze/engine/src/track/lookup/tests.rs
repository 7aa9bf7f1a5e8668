//! Scripted resolvers: each line is a question and what came of it, in seconds.
//!
//! ```text
//! 0.000 10.244.1.5:51456 7e03 A api.example.com.prod.svc.cluster.local nx@0.004 [edns=1232] [ad] [x2] [unit=1] [ttl=5]
//! ```

use super::query::{Query, place};
use super::{ClientFacts, Listener, Lookup, Lookups, NameAnswer, Search, Stack, Verdict, Walk};
use crate::Addr;
use crate::track::FrameId;
use std::collections::BTreeMap;
use std::net::IpAddr;

mod ambiguity;
mod properties;
mod stacks;
mod units;

const SERVER: [u8; 4] = [10, 96, 0, 10];

/// What was told.
#[derive(Default)]
pub(super) struct Told {
    pub(super) lookups: Vec<Lookup<'static>>,
    pub(super) searches: BTreeMap<Addr, Search>,
    pub(super) repeats: u64,
    pub(super) names: Vec<(String, Vec<NameAnswer>)>,
    pub(super) ambiguous: u64,
}

impl Listener for Told {
    fn lookup(&mut self, lookup: &Lookup<'_>, _: &Search) {
        let keep = |text: &str| -> &'static str { text.to_owned().leak() };
        let (stem, last_name, suffix) = (keep(lookup.stem), keep(lookup.last_name), lookup.suffix.map(keep));
        self.lookups.push(Lookup { stem, last_name, suffix, ..*lookup });
    }

    fn client(&mut self, client: Addr, facts: &ClientFacts) {
        self.repeats += facts.repeats;
        self.searches.insert(client, facts.search.clone());
    }

    fn name(&mut self, name: &str, answers: &[NameAnswer]) {
        self.names.push((name.to_owned(), answers.to_vec()));
    }
}

impl Told {
    /// Stem, verdict, candidates, queries, wasted queries and completeness of each lookup.
    pub(super) fn in_short(&self) -> Vec<String> {
        let short = |l: &Lookup<'_>| {
            let end = if l.complete { "" } else { " partial" };
            format!("{} {} {}/{}/{}{end}", l.stem, l.verdict.name(), l.candidates, l.queries, l.wasted_queries)
        };
        self.lookups.iter().map(short).collect()
    }

    /// The search list of the only client.
    pub(super) fn list(&self) -> Vec<&str> {
        self.searches.values().flat_map(Search::lists).flatten().collect()
    }
}

fn seconds(text: &str) -> i64 {
    let seconds: f64 = text.parse().expect("seconds");
    (seconds * 1e9).round() as i64 + 1_000_000_000_000
}

fn verdict(text: &str) -> Verdict {
    match text {
        "found" => Verdict::Found,
        "nx" => Verdict::NxDomain,
        "nodata" => Verdict::NoData,
        "servfail" => Verdict::ServFail,
        "refused" => Verdict::Refused,
        "silent" => Verdict::Timeout,
        "tc" => Verdict::Truncated,
        "open" => Verdict::Open,
        other => panic!("no such outcome: {other}"),
    }
}

fn kind(text: &str) -> u16 {
    match text {
        "A" => 1,
        "AAAA" => 28,
        "HTTPS" => 65,
        other => panic!("no such type: {other}"),
    }
}

fn parse(line: &str, frame: u64, lookups: &mut Lookups) -> Query {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (addr, port) = words[1].rsplit_once(':').expect("address and port");
    let addr: IpAddr = addr.trim_matches(['[', ']']).parse().expect("address");
    let (outcome, end) = words[5].split_once('@').unwrap_or((words[5], words[0]));
    let option = |name: &str| words[6..].iter().find_map(|word| word.strip_prefix(name));
    let number = |name: &str| option(name).map_or(0, |text| text.parse().expect("number"));
    Query {
        unit: number("unit="),
        client: lookups.addrs.number(addr.into()),
        server: lookups
            .addrs
            .number(option("server=").map_or(Addr::v4(SERVER), |text| text.parse::<IpAddr>().expect("address").into())),
        name: lookups.texts.number(words[4]),
        ttl: number("ttl="),
        port: port.parse().expect("port"),
        id: u16::from_str_radix(words[2], 16).expect("identification"),
        kind: place(kind(words[3])).expect("a type that is looked up"),
        verdict: verdict(outcome),
        attempts: option("x").map_or(1, |text| text.parse().expect("attempts")),
        edns: number("edns=") as u16,
        authentic: words[6..].contains(&"ad"),
        tcp: words[6..].contains(&"tcp"),
        first_ns: seconds(words[0]),
        last_ns: option("last=").map_or_else(|| seconds(words[0]), seconds),
        end_ns: option("last=").filter(|_| outcome == "silent").map_or_else(|| seconds(end), seconds),
        frame: FrameId::new(number("unit="), frame),
        ..Query::default()
    }
}

/// Tells the lookups of a script. The capture goes on for a minute behind it.
pub(super) fn run(script: &str) -> Told {
    run_until(script, 60_000_000_000)
}

/// As before, with the capture going on for so long.
pub(super) fn run_until(script: &str, more_ns: i64) -> Told {
    let mut lookups = Lookups::new(1 << 30);
    let lines = script.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    for (at, line) in lines.enumerate() {
        let query = parse(line, at as u64 + 1, &mut lookups);
        lookups.pass(query.unit, query.end_ns + more_ns);
        lookups.queries.push(query);
    }
    let mut told = Told::default();
    lookups.tell_all(&mut told);
    told.ambiguous = lookups.untold.ambiguous;
    told.lookups.sort_by_key(|lookup| lookup.first_ns);
    told
}

/// A glibc-like lookup: A and AAAA of each name from one port, the next as soon as both are answered; `outcomes` says
/// what comes of each name.
pub(super) fn glibc(client: &str, at: f64, seed: u16, names: &[(&str, &str)]) -> String {
    let mut lines = String::new();
    for (step, (name, outcome)) in names.iter().enumerate() {
        let (from, port) = (at + step as f64 * 0.001, 30_000 + seed.wrapping_mul(16) % 20_000 + step as u16);
        let id = seed.wrapping_mul(0x3331).wrapping_add(step as u16 * 0x1f3b);
        let other = id.wrapping_add(0x4103);
        lines.extend([
            format!("{from:.6} {client}:{port} {id:04x} A {name} {outcome}@{:.6}\n", from + 0.0004),
            format!("{:.6} {client}:{port} {other:04x} AAAA {name} {outcome}@{:.6}\n", from + 0.00002, from + 0.0005),
        ]);
    }
    lines
}
