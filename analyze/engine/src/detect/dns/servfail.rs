use super::Query;
use super::cite::clients;
use super::over_tcp::{is_blocked, over_tcp};
use super::rcodes::{Errors, errors, finding};
use super::truncation::truncated;
use crate::detect::About;
use crate::detect::evidence::{count_of, some_of};
use crate::detect::world::World;
use crate::finding::{Finding, Severity};
use crate::track::Endpoint;
use crate::track::dns::transaction::rcode::SERVFAIL;
use foldhash::fast::RandomState;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};

pub(crate) const ABOUT: About = About {
    code: "DNS006",
    slug: "dns-servfail",
    title: "a DNS server answers SERVFAIL",
    severity: Severity::Error,
    what: "Questions are answered with SERVFAIL: the server, or one that it asked, failed.",
    why: "Lookups of these names fail, most after further tries: glibc and Go ask once more and go on with the next search \
          suffix, musl asks for five seconds and gives up, without trying other suffixes.",
    how: "Answers with response code 2, by the server that the client asked, with their names, clients and times. \
          Queries of that server's own to others that went unanswered in the same capture are told as the cause.",
    false_positives: "A name whose own name servers are broken fails everywhere: that is no fault of this server. One or \
                      two answers are a warning only.",
    fix: "Names outside of the cluster: look at the forward plugin of CoreDNS and whether its upstream servers answer. \
          Names inside: whether CoreDNS reaches the API server. CoreDNS keeps a SERVFAIL for up to 5 s.",
    filter: "dns.flags.rcode == 2",
    judge: find,
};

fn find(world: &World<'_>) -> Vec<Finding> {
    errors(SERVFAIL, world).iter().map(|errors| judge(errors, world)).collect()
}

fn judge(errors: &Errors, world: &World<'_>) -> Finding {
    let mut finding = finding(&ABOUT, "SERVFAIL", errors, world);
    finding.counts.insert("servfail_answers", errors.failed.len() as i64);
    let of = some_of(clients(&errors.failed), 3);
    let cause = if let Some((server, silent)) = upstream(errors, world) {
        // Who asks a server that is known to be silent has no fault of its own.
        if is_told(server, world) {
            finding.severity = Severity::Info;
        }
        format!(" {server}, which is asked in turn, {silent}: that is where it fails.")
    } else {
        let next = "whether their upstream servers answer shows only there";
        finding.capture_next = Some(format!("in the pods of {}: {next}", errors.servers()));
        String::new()
    };
    finding.explanation = format!("{} They were asked by {of}.{cause}", finding.explanation);
    finding.fix.commands = vec![
        "kubectl -n kube-system get configmap coredns -o yaml".to_owned(),
        "kubectl -n kube-system logs -l k8s-app=kube-dns --tail=100".to_owned(),
    ];
    finding
}

/// Findings about servers that do not answer.
const SILENT: &[&str] = &["DNS004", "DNS012", "DNS017"];

/// Whether a server is known to be silent, or cannot be asked over TCP although its answers are truncated.
fn is_told(server: Endpoint, world: &World<'_>) -> bool {
    let is_silent = |finding: &Finding| finding.severity > Severity::Info && finding.names(&server);
    world.found(SILENT).any(is_silent) || lacks_tcp(server, world)
}

fn lacks_tcp(server: Endpoint, world: &World<'_>) -> bool {
    truncated(world).any(|(of, queries)| of == server && is_blocked(&over_tcp(server, world), &queries))
}

/// Whom the failing server asks in vain, and how that is told.
fn upstream(errors: &Errors, world: &World<'_>) -> Option<(Endpoint, String)> {
    let queries = world.facts.dns.queries();
    let selves = |query: &&Query| {
        errors.servers.iter().any(|server| query.client.addr == server.addr)
            || errors.failed.iter().any(|failed| failed.backend == Some(query.client.addr))
    };
    let silent: Vec<&Query> = queries.iter().filter(selves).filter(|query| query.unanswered > 0).collect();
    if let Some(first) = silent.first() {
        return Some((first.server, format!("left {} unanswered", count_of(silent.len() as u64, "question"))));
    }
    let (server, questions) = passed_on(errors, world)?;
    Some((server, format!("answered {} of the same not at all or cut short", count_of(questions as u64, "question"))))
}

/// Number of the name, and type.
type Question = (u64, u16);

/// A server passes a question on at once, and clocks of captures differ; or when it has tried another for so long.
const BEFORE_NS: i64 = 1_000_000_000;
const BEHIND_NS: i64 = 5_000_000_000;

/// Questions of which one is asked of another server shows where they are passed on, of a server that is known to be
/// silent: replicas elsewhere ask from there. Of others half of them must be.
const ONE_OF: usize = 4;

/// Another server that is asked the same questions, at the same time and by others than the clients, and does not answer
/// them: the failing one asks it from another address of its own (the other family), or from behind source NAT.
fn passed_on(errors: &Errors, world: &World<'_>) -> Option<(Endpoint, usize)> {
    let mut failed: HashMap<Question, Vec<&Query>, RandomState> = HashMap::default();
    for query in &errors.failed {
        failed.entry((query.name, query.qtype)).or_default().push(query);
    }
    let is_same = |next: &Query, query: &Query| {
        let span = query.first_ns.saturating_sub(BEFORE_NS)..=query.last_ns.saturating_add(BEHIND_NS);
        next.client.addr != query.client.addr && next.server != query.server && span.contains(&next.first_ns)
    };
    let mut servers: BTreeMap<Endpoint, BTreeSet<Question>> = BTreeMap::new();
    for next in world.facts.dns.queries().iter().filter(|next| is_in_vain(next)) {
        let question = (next.name, next.qtype);
        if failed.get(&question).is_some_and(|same| same.iter().any(|query| is_same(next, query))) {
            servers.entry(next.server).or_default().insert(question);
        }
    }
    let mut servers: Vec<(Endpoint, usize)> =
        servers.into_iter().map(|(at, questions)| (at, questions.len())).collect();
    servers.sort_by_key(|(_, questions)| Reverse(*questions));
    let told = servers.iter().filter(|(_, questions)| questions * ONE_OF >= failed.len());
    let told = told.filter(|(server, _)| is_told(*server, world));
    let most = servers.iter().filter(|(server, questions)| questions * 2 >= failed.len() && leaves(*server, world));
    told.chain(most).next().copied()
}

/// Whether a question is not answered, or less than wholly.
fn is_in_vain(query: &Query) -> bool {
    let silent = query.unanswered > 0 || query.rejected || query.truncated || query.is_silent();
    silent && query.rcode != Some(SERVFAIL)
}

/// Whether a server leaves questions without an answer.
fn leaves(server: Endpoint, world: &World<'_>) -> bool {
    let mut queries = world.facts.dns.queries().iter().filter(|query| query.server == server);
    queries.any(|query| query.unanswered > 0 || query.rejected)
}
