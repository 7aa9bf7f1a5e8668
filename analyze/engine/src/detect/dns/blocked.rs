use super::cite::{by_group, clients, is_symptom, names, server_filter};
use super::forwarded::forwarded;
use super::{Query, upstream, would_hear};
use crate::Addr;
use crate::detect::About;
use crate::detect::evidence::{count_of, some_of};
use crate::detect::vantage::Spot;
use crate::detect::world::World;
use crate::finding::{Finding, Severity};
use crate::packet::is_fresh;
use std::cell::LazyCell;
use std::collections::BTreeSet;

pub(crate) const ABOUT: About = About {
    code: "DNS003",
    slug: "dns-blocked",
    title: "a client gets no DNS answer at all while its other traffic flows",
    severity: Severity::Critical,
    what: "No question of this client is answered, by no server, while its connections to addresses work: an egress \
           policy without DNS, most often.",
    why: "Nothing can be looked up. Each lookup hangs for 5 s to 40 s, depending on the resolver, and then fails.",
    how: "Three or more attempts without any answer or ICMP error and none answered, from a client whose connections other \
          than DNS have both directions in the same capture. Where the questions were seen behind a router, or inside \
          a tunnel, they were not dropped at the client: then it is DNS004. What a DNS server asks in vain is its \
          upstream's.",
    false_positives: "A capture filter that hides answers would hide them for others as well; that other traffic of the \
                      client has both directions says only that the point passes both.",
    fix: "Allow egress to the cluster's DNS on port 53, over UDP and TCP, in every NetworkPolicy that selects the pod; with \
          NodeLocal DNSCache also to its address (169.254.20.10 by default).",
    filter: "dns.flags.response == 0",
    judge: find,
};

/// Attempts before silence is called blocked: fewer are lost by chance.
const PATTERN: u32 = 3;

const POLICY: &str = "\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: allow-dns
spec:
  podSelector: {}
  policyTypes: [Egress]
  egress:
  - to:
    - namespaceSelector:
        matchLabels:
          kubernetes.io/metadata.name: kube-system
      podSelector:
        matchLabels:
          k8s-app: kube-dns
    ports:
    - {protocol: UDP, port: 53}
    - {protocol: TCP, port: 53}
";

/// Queries of clients that get no answer at all, while their other traffic flows.
pub(super) fn cases<'a>(world: &World<'a>) -> &'a [Query] {
    let dns = &world.facts.dns;
    dns.cases.blocked.get_or_init(|| {
        let folded: BTreeSet<Addr> = dns.folded.keys().map(|(client, _)| *client).collect();
        // Whose questions a server passes on has reached that server.
        let reaches =
            |queries: &[Query]| queries.iter().any(|query| forwarded(world).passed_on_itself(query).is_some());
        let servers = LazyCell::new(|| servers(world));
        let is_client = |queries: &[Query]| queries.first().is_some_and(|query| !servers.contains(&query.client.addr));
        let blocked = dns.clients().filter(|queries| is_blocked(queries, world, &folded) && is_client(queries));
        let blocked = blocked.filter(|queries| !reaches(queries));
        blocked.filter(|queries| !is_symptom(queries, world)).flatten().copied().collect()
    })
}

/// Who is a DNS server itself: what it asks in vain is its upstream's matter.
fn servers(world: &World<'_>) -> BTreeSet<Addr> {
    let dns = &world.facts.dns;
    let asked = dns.queries().iter().flat_map(|query| [Some(query.server.addr), query.backend]).flatten();
    let folded = dns.folded.keys().map(|(_, server)| server.addr);
    let probing = upstream::cases(world).iter().map(|probe| probe.client.addr);
    asked.chain(folded).chain(probing).collect()
}

fn is_blocked(queries: &[Query], world: &World<'_>, folded: &BTreeSet<Addr>) -> bool {
    let Some(first) = queries.first() else { return false };
    let nothing = queries.iter().all(|query| query.rcode.is_none() && !query.rejected && query.most_answers == 0);
    let left = queries.iter().any(|query| query.forwarded || !is_fresh(Some(query.ttl)));
    let attempts: u32 = queries.iter().map(|query| query.unanswered).sum();
    nothing && !left && attempts >= PATTERN && !folded.contains(&first.client.addr) && would_hear(first, world)
}

fn find(world: &World<'_>) -> Vec<Finding> {
    by_group(cases(world).iter(), world).iter().map(|queries| judge(queries, world)).collect()
}

fn judge(queries: &[Query], world: &World<'_>) -> Finding {
    let dns = &world.facts.dns;
    let clients = clients(queries);
    let attempts: u32 = queries.iter().map(|query| query.attempts).sum();
    let asked = count_of(attempts.into(), "query");
    let mut finding =
        Finding::of(&ABOUT, format!("no DNS answer reaches {}: all of {asked} in vain", some_of(&clients, 2)));
    let filter = queries.first().map(|query| server_filter(query.server)).unwrap_or_default();
    finding.of_queries(queries, &filter, world);
    finding.counts.insert("queries", attempts.into());
    finding.counts.insert("unanswered", attempts.into());
    let two_way: u64 = clients.iter().filter_map(|client| dns.elsewhere.get(client)).map(|other| other.two_way).sum();
    let servers: BTreeSet<_> = queries.iter().map(|query| query.server).collect();
    let others = dns.queries().iter().filter(|query| query.is_answered() && servers.contains(&query.server)).count();
    let compare = match others {
        0 => String::new(),
        n => format!(" Others are answered ({}), so the servers live.", count_of(n as u64, "question")),
    };
    let heard = match two_way {
        0 => "and answers would be seen: all interfaces were captured in both directions".to_owned(),
        n => format!("while {} of theirs have both directions", count_of(n, "other connection")),
    };
    finding.confidence = if others > 0 { 0.95 } else { 0.8 };
    finding.explanation = format!(
        "{asked} from {} ({}) got neither an answer nor an ICMP error, {heard}.{compare} Something drops DNS without a word, a NetworkPolicy without egress to port 53 first of all.",
        some_of(&clients, 3),
        names(queries, world),
    );
    if others == 0 {
        finding.limits.push("nobody is answered here: that the DNS servers are dead cannot be excluded".to_owned());
    }
    finding.rule_out("DNS004", "not one of its queries was answered");
    finding.rule_out("DNS017", "no ICMP error came back");
    finding.rule_out("DNS005", "both of each pair stay unanswered");
    finding.fix.commands = vec!["kubectl get networkpolicy -A -o yaml".to_owned()];
    finding.fix.yaml = Some(POLICY.to_owned());
    let nodes = clients.iter().take(2).copied().map(Spot::NodeOf);
    finding.capture_next =
        world.capture_next(nodes, "a query that leaves the pod's interface and not the node is dropped there");
    finding
}
