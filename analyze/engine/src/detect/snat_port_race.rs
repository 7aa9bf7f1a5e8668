use super::About;
use super::evidence::{count_of, some_of};
use super::lost_at_nat::{Lost, concern, confirm, lost};
use super::world::World;
use crate::finding::{Finding, Severity};
use crate::track::Endpoint;
use std::collections::{BTreeMap, BTreeSet};

pub(super) const ABOUT: About = About {
    code: "NAT003",
    slug: "snat-port-race",
    title: "SYNs are lost at source NAT, and their repetitions pass",
    severity: Severity::Error,
    what: "A SYN is seen before the node translates its source and never behind; its repetition a second later passes.",
    why: "Two connections were given the same translated port at the same moment, and conntrack dropped the later one when \
          it was confirmed (insert_failed). Connects take 1 or 3 s now and then.",
    how: "Connections whose first SYN was seen before the source NAT and whose repetition is the first one behind it, to \
          destinations to which others pass at once. A connection to the same destination that had the same port at the \
          same moment proves the clash.",
    false_positives: "Loss behind the node shows the first SYN behind the NAT. A capture that dropped packets misses \
                      frames of all kinds, not first SYNs. Where repetitions are lost as well, ports ran out (NAT004).",
    fix: "Use MASQUERADE --random-fully (kube-proxy and CNIs do where iptables is 1.6.2 or newer), several egress \
          addresses, or fewer and longer connections.",
    filter: "tcp.flags == 2",
    judge: find,
};

/// SYNs lost without a proven clash that are more than a captured frame gone missing.
const PATTERN: usize = 2;
/// Two SYNs that were translated at the same moment.
const MOMENT_NS: u64 = 100_000_000;

fn find(world: &World<'_>) -> Vec<Finding> {
    let all = lost(world);
    let mut by_server: BTreeMap<Endpoint, Vec<&Lost<'_>>> = BTreeMap::new();
    for lost in all.iter().filter(|lost| is_race(lost)) {
        by_server.entry(lost.connection.front().resp).or_default().push(lost);
    }
    let race = |(server, lost): (&Endpoint, &Vec<&Lost<'_>>)| {
        let clashes = lost.iter().filter(|lost| clashes(lost, *server, world)).count();
        let known = world.knows(&["NAT004", "NAT005", "CAP001"], server);
        (!known && (clashes > 0 || lost.len() >= PATTERN)).then(|| judge(*server, lost, clashes, world))
    };
    by_server.iter().filter_map(race).collect()
}

fn is_race(lost: &Lost<'_>) -> bool {
    lost.passed() && lost.snat && !lost.early
}

/// Whether another connection to the same server had the same port at the same moment.
pub(super) fn clashes(lost: &Lost<'_>, server: Endpoint, world: &World<'_>) -> bool {
    let kept = &world.facts.servers.kept;
    let own = lost.connection.front().orig;
    kept.sent_to(server).any(|other| {
        let front = other.front();
        let same = front.resp == server
            && front.orig != own
            && (front.orig.port == own.port || other.back().orig.port == own.port);
        same && front.flows(kept).any(|flow| flow.unit == lost.pre.unit || flow.first_ns != 0)
            && front.flows(kept).any(|flow| flow.first_ns.abs_diff(lost.pre.first_ns) <= MOMENT_NS)
    })
}

fn judge(server: Endpoint, lost: &[&Lost<'_>], clashes: usize, world: &World<'_>) -> Finding {
    let count = count_of(lost.len() as u64, "SYN");
    let mut finding = Finding::of(&ABOUT, format!("{count} to {server} lost at source NAT, repetitions pass"));
    finding.confidence = if clashes > 0 { 0.95 } else { 0.75 };
    concern(&mut finding, lost, world, &format!("tcp.dstport == {} && tcp.flags == 2", server.port));
    finding.counts.insert("same_port_at_once", clashes as i64);
    let masks: BTreeSet<_> = lost.iter().filter_map(|lost| lost.post).map(|post| post.orig.addr).collect();
    let clash = match clashes {
        0 => String::new(),
        n => format!(
            " In {n} of them another pod used the same source port to the same destination at that very moment."
        ),
    };
    finding.explanation = format!(
        "{count} to {server} were seen before their source was translated to {} and not behind; each was repeated after a \
         second and then passed, so the connection came late.{clash} conntrack drops the later of two connections that \
         were given one translated port (insert_failed).",
        some_of(&masks, 2),
    );
    finding.rule_out("NET001", "the SYNs are lost on the node, between two of its own interfaces, not on the network");
    finding.rule_out("NAT004", "the first repetition passes, so ports are free");
    finding.rule_out("NAT005", "only connections whose source is translated are concerned");
    confirm(&mut finding, world, "insert_failed");
    finding.fix.commands = vec![
        "conntrack -S | grep -o 'insert_failed=[0-9]*'".to_owned(),
        "iptables-save -t nat | grep -e MASQUERADE -e SNAT".to_owned(),
    ];
    finding
}
