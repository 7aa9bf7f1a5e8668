use super::Query;
use super::cases::stalled;
use super::cite::{clients, group, names};
use crate::detect::About;
use crate::detect::evidence::{count_of, some_of};
use crate::detect::vantage::Spot;
use crate::detect::world::World;
use crate::finding::{Finding, Severity};
use crate::track::Endpoint;
use crate::track::dns::transaction::{rcode, rcode_name};
use foldhash::fast::RandomState;
use std::collections::{BTreeMap, BTreeSet, HashMap};

pub(crate) const ABOUT: About = About {
    code: "DNS014",
    slug: "dns-family-broken",
    title: "questions for one address family are never answered",
    severity: Severity::Warning,
    what: "For the same names the server answers A and never AAAA, or the other way round, however often it is asked.",
    why: "glibc waits 15 s and then goes on with what it has, Go 10 s; musl fails after 5 s although one family was \
          answered.",
    how: "Two or more attempts for one family of which none was answered, while the other family of the same names was, \
          by the same server to the same client. NOTIMP and FORMERR are no answer: musl waits for another.",
    false_positives: "A lost packet is answered when it is asked again. An empty answer (NODATA) is an answer.",
    fix: "Find what drops questions for this type: a server or firewall that does not know AAAA, or a zone whose server \
          fails to answer it. Until then an empty answer for the type (CoreDNS template plugin) spares the wait.",
    filter: "dns.flags.response == 0 && dns.qry.type in {1, 28}",
    judge: find,
};

/// Attempts before silence is more than one lost packet.
const PATTERN: u32 = 2;

/// A family that a client never gets.
#[derive(Debug)]
pub(super) struct Broken {
    silent: Vec<Query>,
    answered: usize,
}

fn broken<'a>(world: &World<'a>) -> &'a [Broken] {
    let dns = &world.facts.dns;
    dns.cases.broken.get_or_init(|| dns.clients().flat_map(of_client).collect())
}

fn of_client(queries: &[Query]) -> Vec<Broken> {
    let mut stalled = stalled(queries, PATTERN, |query| query.server);
    stalled.extend(queries.iter().filter(|query| is_no_answer(query)).map(|query| query.server));
    if stalled.is_empty() {
        return Vec::new();
    }
    let mut servers: HashMap<Endpoint, [Vec<&Query>; 2], RandomState> = HashMap::default();
    for query in queries.iter().filter(|query| matches!(query.qtype, 1 | 28) && stalled.contains(&query.server)) {
        servers.entry(query.server).or_default()[usize::from(query.qtype == 28)].push(query);
    }
    let mut servers: Vec<_> = servers.into_iter().collect();
    servers.sort_unstable_by_key(|(server, _)| *server);
    servers.iter().flat_map(|(_, [a, aaaa])| [one(a, aaaa), one(aaaa, a)]).flatten().collect()
}

fn one(silent: &[&Query], other: &[&Query]) -> Option<Broken> {
    let is_silent = |query: &Query| query.rcode.is_none() && !query.rejected && query.most_answers == 0;
    let never = silent.iter().all(|query| is_silent(query) || is_no_answer(query));
    let tries = |query: &&Query| if is_no_answer(query) { query.attempts } else { query.unanswered };
    if !never || silent.iter().map(tries).sum::<u32>() < PATTERN {
        return None;
    }
    let names: BTreeSet<u64> = silent.iter().map(|query| query.name).collect();
    let is_fine = |query: &Query| query.is_answered() && matches!(query.rcode, Some(rcode::NOERROR | rcode::NXDOMAIN));
    let answered = other.iter().filter(|query| is_fine(query) && names.contains(&query.name)).count();
    (answered > 0).then(|| Broken { silent: silent.iter().copied().copied().collect(), answered })
}

/// Whether a server says that it does not know the type, or does not understand the question: musl takes that for no
/// answer and waits for another.
fn is_no_answer(query: &Query) -> bool {
    query.is_answered() && matches!(query.rcode, Some(rcode::NOTIMP | rcode::FORMERR))
}

/// Questions of families that are never answered.
pub(super) fn cases<'a>(world: &World<'a>) -> impl Iterator<Item = &'a Query> {
    broken(world).iter().flat_map(|broken| &broken.silent)
}

fn find(world: &World<'_>) -> Vec<Finding> {
    let mut kinds: BTreeMap<(Option<u32>, u16), (Vec<Query>, usize)> = BTreeMap::new();
    for broken in broken(world) {
        let first = &broken.silent[0];
        let kind = kinds.entry((group(first, world), first.qtype)).or_default();
        kind.0.extend_from_slice(&broken.silent);
        kind.1 += broken.answered;
    }
    kinds.into_iter().map(|((_, qtype), (silent, answered))| judge(qtype, &silent, answered, world)).collect()
}

fn judge(qtype: u16, silent: &[Query], answered: usize, world: &World<'_>) -> Finding {
    let (family, other) = if qtype == 1 { ("A", "AAAA") } else { ("AAAA", "A") };
    let attempts: u32 = silent.iter().map(|query| query.attempts).sum();
    let codes: BTreeSet<&str> = silent.iter().filter_map(|query| rcode_name(query.rcode?)).collect();
    let (only, nothing) = if codes.is_empty() {
        (String::new(), "nothing".to_owned())
    } else {
        let codes = some_of(&codes, 2);
        (format!(" but with {codes}"), format!("{codes}, which musl takes for no answer"))
    };
    let title = format!("{family} is never answered{only} ({attempts} attempts), {other} is");
    let mut finding = Finding::of(&ABOUT, title);
    finding.of_queries(silent, &format!("dns.qry.type == {qtype}"), world);
    finding.counts.insert("queries", attempts.into());
    finding.counts.insert("unanswered", silent.iter().map(|query| i64::from(query.unanswered)).sum());
    finding.counts.insert("answered_other_family", answered as i64);
    finding.explanation = format!(
        "{} asked for {family} of {} in {} and got {nothing}, while {} for {other} of the same names came.",
        some_of(clients(silent), 3),
        names(silent, world),
        count_of(attempts.into(), "attempt"),
        count_of(answered as u64, "answer"),
    );
    finding.rule_out("DNS004", "every attempt of one family is lost and none of the other");
    finding.rule_out("DNS005", "the question is not answered when it is asked again either");
    let servers = silent.iter().map(|query| Spot::Host(query.backend.unwrap_or(query.server.addr)));
    finding.capture_next = world.capture_next(servers, "whether the questions arrive there");
    finding
}
