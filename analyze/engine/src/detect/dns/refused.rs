use super::cite::clients;
use super::rcodes::{Errors, errors, finding};
use crate::detect::About;
use crate::detect::evidence::{count_of, some_of};
use crate::detect::world::World;
use crate::finding::{Finding, Severity};
use crate::track::dns::transaction::rcode::REFUSED;
use std::collections::BTreeMap;

pub(crate) const ABOUT: About = About {
    code: "DNS007",
    slug: "dns-refused",
    title: "a DNS server refuses to answer",
    severity: Severity::Error,
    what: "Questions are answered with REFUSED: the server does not want to answer this client, this name, or anybody now.",
    why: "After REFUSED glibc skips the rest of the search list and asks for the name as it is; musl ignores the answer, \
          waits and fails after 5 s; others try the next server.",
    how: "Answers with response code 5, by server, with names and clients, and whether the client asked something else \
          within 10 s after.",
    false_positives: "A server that is no resolver for anybody (an authority) refuses by design: what asks it is \
                      misconfigured.",
    fix: "CoreDNS refuses what no zone of its Corefile covers, what an acl plugin blocks, and what exceeds max_concurrent \
          of its forward plugin: compare the rate of refusals with the rate of queries.",
    filter: "dns.flags.rcode == 5",
    judge: find,
};

/// A resolver that moves on does so within this time.
const MOVE_ON_NS: i64 = 10_000_000_000;

fn find(world: &World<'_>) -> Vec<Finding> {
    errors(REFUSED, world).iter().map(|errors| judge(errors, world)).collect()
}

fn judge(errors: &Errors, world: &World<'_>) -> Finding {
    let mut finding = finding(&ABOUT, "REFUSED", errors, world);
    let moved = moved_on(errors, world);
    finding.counts.insert("moved_on", moved as i64);
    let after = match moved {
        0 => "The resolvers asked nothing else after it.".to_owned(),
        n => format!("After {} the resolver asked something else.", count_of(n, "refusal")),
    };
    let of = some_of(clients(&errors.failed), 3);
    finding.explanation = format!("{} They were asked by {of}. {after}", finding.explanation);
    finding.fix.commands =
        vec!["kubectl -n kube-system get configmap coredns -o yaml | grep -E 'forward|max_concurrent|acl'".to_owned()];
    finding
}

/// Refusals after which the client got an answer to another name or from another server.
fn moved_on(errors: &Errors, world: &World<'_>) -> u64 {
    let mut answers: BTreeMap<crate::Addr, Vec<(i64, u64)>> = BTreeMap::new();
    let fine = |query: &&super::Query| query.rcode.is_some_and(|code| code != REFUSED);
    for query in world.facts.dns.queries().iter().filter(fine) {
        answers.entry(query.client.addr).or_default().push((query.first_ns, query.name));
    }
    let moved = errors.failed.iter().filter(|refused| {
        let of_client = answers.get(&refused.client.addr).map(Vec::as_slice).unwrap_or_default();
        let from = of_client.partition_point(|(ns, _)| *ns <= refused.last_ns);
        of_client.get(from).is_some_and(|(ns, _)| ns.saturating_sub(refused.last_ns) < MOVE_ON_NS)
    });
    moved.count() as u64
}
