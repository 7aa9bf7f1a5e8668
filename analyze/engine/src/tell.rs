//! Lookups on their way to rows and facts.

use crate::Addr;
use crate::collect::{Names, Output};
use crate::detect::world::Facts;
use crate::detect::{ClientLookups, what_if};
use crate::table::{DnsLookupRow, DnsWhatIfRow, Label, Sink, SinkError, Time};
use crate::track::lookup::{ClientFacts, Listener, Lookup, NameAnswer, Search, Walk};

/// Takes lookups; an error of the sink is kept until all are told.
pub(crate) struct Tell<'a> {
    pub(crate) facts: &'a mut Facts,
    pub(crate) output: &'a mut Output,
    pub(crate) names: &'a Names,
    pub(crate) sink: &'a mut dyn Sink,
    pub(crate) result: Result<(), SinkError>,
}

impl Listener for Tell<'_> {
    fn lookup(&mut self, lookup: &Lookup<'_>, search: &Search) {
        self.facts.lookups.add(lookup);
        if self.result.is_ok() {
            let names = self.names;
            self.result = self.output.push(|| row(lookup, search, names), self.sink);
        }
    }

    fn client(&mut self, client: Addr, facts: &ClientFacts) {
        self.facts.lookups.client(client, facts);
    }

    fn name(&mut self, name: &str, answers: &[NameAnswer]) {
        self.facts.lookups.name(name, answers);
    }
}

fn row<'a>(lookup: &'a Lookup<'_>, search: &'a Search, names: &'a Names) -> DnsLookupRow<'a> {
    let first = lookup.frames.as_slice().first().copied().unwrap_or_default();
    let micros = |ns: i64| ns / 1000;
    DnsLookupRow {
        capture: names.capture_label(first.capture()),
        point: names.point_label(lookup.point),
        first_frame: first.frame() as i64,
        ts_ns: lookup.first_ns,
        ts: Time(lookup.first_ns),
        duration_us: micros(lookup.end_ns.saturating_sub(lookup.first_ns)),
        client_addr: lookup.client,
        server_addr: lookup.server,
        client_namespace: search.namespace(),
        stem: lookup.stem,
        kind: Label::Static(lookup.kind.name()),
        dots: lookup.dots as i32,
        walk: Label::Static(lookup.walk.name()),
        candidates: lookup.candidates as i32,
        last_name: lookup.last_name,
        suffix: lookup.suffix,
        queries: lookup.queries as i32,
        resent_queries: lookup.resent as i32,
        wasted_queries: lookup.wasted_queries as i32,
        wasted_us: micros(lookup.wasted_ns),
        answer: Label::Static(lookup.verdict.name()),
        complete: lookup.complete,
        autopath: lookup.autopath,
        resolver: Label::Static(lookup.stack.name()),
        resolver_confidence: lookup.stack_confidence,
        ndots_least: (lookup.walk == Walk::SuffixesFirst).then_some(lookup.dots as i32 + 1),
        ndots_most: (lookup.walk == Walk::NameFirst).then_some(lookup.dots as i32),
    }
}

/// What other settings would have cost a client, one row a setting.
pub(crate) fn what_if_rows(client: &ClientLookups, names: &Names) -> Vec<DnsWhatIfRow> {
    let (ts_ns, first, point) = client.first.unwrap_or_default();
    let lists: Vec<String> = client.search.lists().iter().map(|list| list.join(" ")).collect();
    let row = |at: usize| DnsWhatIfRow {
        capture: names.capture(first.capture()),
        point: names.point(point),
        first_frame: first.frame() as i64,
        ts_ns,
        ts: Time(ts_ns),
        client_addr: client.client,
        search: lists.join(", "),
        ndots: client.ndots(),
        resolver: Label::Static(client.stack().name()),
        setting: Label::Static(what_if::setting(at)),
        lookups: client.what_if.lookups as i64,
        queries: client.what_if.queries as i64,
        queries_then: client.what_if.costs[at].queries as i64,
        broken_lookups: client.what_if.costs[at].broken as i64,
    };
    (0..what_if::SETTINGS).filter(|_| client.what_if.lookups > 0).map(row).collect()
}
