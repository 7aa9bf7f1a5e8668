use super::About;
use super::evidence::{count_of, some_of};
use super::lost_at_nat::{Lost, concern, lost};
use super::world::World;
use crate::Addr;
use crate::finding::{Finding, Severity};
use crate::packet::TCP;
use crate::track::Endpoint;
use std::collections::{BTreeMap, BTreeSet};

pub(super) const ABOUT: About = About {
    code: "NAT004",
    slug: "snat-port-exhaustion",
    title: "no ports are left to translate connections to this destination",
    severity: Severity::Error,
    what: "SYNs to a destination outside are seen before the node translates their source and never behind, one \
           repetition after the other, until older connections are gone.",
    why: "All ports that the node may use towards this destination are taken. Connects hang or fail until entries expire.",
    how: "Connections whose source would be translated lose two or more SYNs each at the NAT, while others to the same \
          destination pass; the few translated ports that are seen are used again and again.",
    false_positives: "A race for a port costs one SYN and its repetition passes (NAT003). A full conntrack table hits \
                      every destination (NAT005).",
    fix: "Widen the port range of the translation (--to-ports, net.ipv4.ip_local_port_range), add egress addresses, or \
          reuse connections so that fewer are open to this destination.",
    filter: "tcp.flags == 2",
    judge: find,
};

/// Connections that make it more than bad luck.
const PATTERN: usize = 2;

fn find(world: &World<'_>) -> Vec<Finding> {
    let all = lost(world);
    let mut by_server: BTreeMap<Endpoint, Vec<&Lost<'_>>> = BTreeMap::new();
    for lost in all.iter().filter(|lost| lost.snat && !lost.early && lost.connection.proto == TCP) {
        by_server.entry(lost.connection.front().resp).or_default().push(lost);
    }
    let exhausted = |(server, lost): (&Endpoint, &Vec<&Lost<'_>>)| {
        let persistent = lost.iter().filter(|lost| lost.syns >= 2).count();
        let known = world.knows(&["NAT005", "CAP001"], server);
        (!known && persistent >= PATTERN && persistent * 2 > lost.len()).then(|| judge(*server, lost, world))
    };
    by_server.iter().filter_map(exhausted).collect()
}

fn judge(server: Endpoint, lost: &[&Lost<'_>], world: &World<'_>) -> Finding {
    let count = count_of(lost.len() as u64, "connection");
    let ports = translated_ports(server, world);
    let mut finding = Finding::of(&ABOUT, format!("no translated ports left towards {server} ({count} held up)"));
    finding.confidence = if reused(&ports) { 0.9 } else { 0.75 };
    concern(&mut finding, lost, world, &format!("tcp.dstport == {} && tcp.flags == 2", server.port));
    let distinct: BTreeSet<u16> = ports.values().flatten().copied().collect();
    finding.counts.insert("translated_ports", distinct.len() as i64);
    finding.counts.insert("never_passed", lost.iter().filter(|lost| !lost.passed()).count() as i64);
    let range = match (distinct.first(), distinct.last()) {
        (Some(low), Some(high)) => {
            format!(" The translated ports seen are {} between {low} and {high}.", distinct.len())
        }
        _ => String::new(),
    };
    finding.explanation = format!(
        "{count} to {server} lost {} before their source was translated (to {}): repetitions vanished as the first SYN \
         did, while other connections to the same destination pass.{range} conntrack finds no free port for them and \
         drops each SYN until an older connection is forgotten.",
        count_of(lost.iter().map(|lost| lost.syns).sum(), "SYN"),
        some_of(ports.keys(), 2),
    );
    finding.rule_out("NAT003", "repetitions are lost as well");
    finding.rule_out("NAT005", "only connections to this destination are concerned");
    finding.rule_out("SVC004", "other connections to the same destination succeed, and the SYNs never leave the node");
    finding.fix.commands = vec![
        "conntrack -S | grep -o 'insert_failed=[0-9]*'".to_owned(),
        format!("conntrack -L -p tcp --orig-dst {} | wc -l", server.addr),
        "iptables-save -t nat | grep -e MASQUERADE -e SNAT".to_owned(),
    ];
    finding
}

/// Ports that connections to a server were given, by translated source.
fn translated_ports(server: Endpoint, world: &World<'_>) -> BTreeMap<Addr, Vec<u16>> {
    let mut ports: BTreeMap<Addr, Vec<u16>> = BTreeMap::new();
    let connections = world.facts.servers.kept.connections().iter();
    for connection in connections.filter(|connection| connection.front().resp == server && connection.stages.len() > 1)
    {
        let orig = connection.back().orig;
        ports.entry(orig.addr).or_default().push(orig.port);
    }
    ports
}

/// Whether ports were used more than once: there are few of them.
fn reused(ports: &BTreeMap<Addr, Vec<u16>>) -> bool {
    ports.values().any(|ports| ports.iter().collect::<BTreeSet<_>>().len() < ports.len())
}
