use super::Query;
use super::cite::{by_server, clients, names, server_filter};
use super::over_tcp::{is_blocked, over_tcp};
use crate::detect::About;
use crate::detect::evidence::{count_of, some_of};
use crate::detect::world::World;
use crate::finding::{Finding, Severity};
use crate::track::Endpoint;

pub(crate) const ABOUT: About = About {
    code: "DNS009",
    slug: "dns-truncation",
    title: "answers do not fit a datagram and are asked for again over TCP",
    severity: Severity::Info,
    what: "Answers over UDP come with the bit TC and without their records; the client asks again over TCP.",
    why: "Each such lookup costs a connection and two more round trips; where TCP port 53 is blocked it fails.",
    how: "Answers with TC, and questions over TCP that follow them.",
    false_positives: "musl before 1.2.4 does not ask over TCP: it takes the empty answer for the answer. That is told by \
                      its missing connections, not by failing ones: three such answers are a warning where other TCP \
                      of the client is seen.",
    fix: "None is needed where TCP works. Smaller record sets, or EDNS with a datagram size of 1232 bytes in the client \
          (glibc: options edns0), spare the second question.",
    filter: "dns.flags.truncated == 1 || tcp.port == 53",
    judge: find,
};

/// Truncated answers by server.
pub(super) fn truncated(world: &World<'_>) -> impl Iterator<Item = (Endpoint, Vec<Query>)> {
    by_server(world.facts.dns.queries().iter().filter(|query| query.truncated && !query.tcp)).into_iter()
}

fn find(world: &World<'_>) -> Vec<Finding> {
    let works = truncated(world).filter(|(server, queries)| !is_blocked(&over_tcp(*server, world), queries));
    works.map(|(server, queries)| judge(server, &queries, world)).collect()
}

fn judge(server: Endpoint, queries: &[Query], world: &World<'_>) -> Finding {
    let clients = clients(queries);
    let connected = over_tcp(server, world).established > 0;
    let of_server = |query: &&Query| query.tcp && query.server == server && clients.contains(&query.client.addr);
    let over_tcp: Vec<&Query> = world.facts.dns.queries().iter().filter(of_server).collect();
    // What was asked over TCP from the start is none of these: a truncated answer is asked for again once.
    let follow: Vec<&&Query> = over_tcp.iter().filter(|query| query.follows).take(queries.len()).collect();
    let answered = follow.iter().filter(|query| query.is_answered()).count();
    let answers = count_of(queries.len() as u64, "truncated answer");
    let mut finding = Finding::of(&ABOUT, format!("{answers} from {server}, {answered} asked again over TCP"));
    finding.of_queries(queries, &server_filter(server), world);
    finding.counts.insert("truncated_answers", queries.len() as i64);
    finding.counts.insert("tcp_queries", over_tcp.len() as i64);
    finding.counts.insert("tcp_answered", answered as i64);
    finding.counts.insert("tcp_follow_truncation", follow.len() as i64);
    let nobody = over_tcp.is_empty() && !connected;
    let then = match answered {
        0 if nobody => {
            "Nobody asked again over TCP: an old resolver (musl before 1.2.4) does not, and takes what fitted for all \
             there is, which may be nothing. Or what it sends over TCP is dropped before it comes here."
                .to_owned()
        }
        0 => "Of what was asked again over TCP no answer was seen.".to_owned(),
        n => format!("Over TCP {} came, so lookups succeed.", count_of(n as u64, "answer")),
    };
    if nobody {
        never_again(&mut finding, queries, world);
    }
    finding.explanation = format!(
        "{answers} to {} ({}) did not fit the datagram that the client takes. {then}",
        some_of(&clients, 3),
        names(queries, world),
    );
    if answered > 0 {
        finding.rule_out("DNS010", "TCP port 53 of the server answers");
    }
    finding
}

/// Truncated answers that nobody asks for again, before it is the resolver's way.
const PATTERN: usize = 3;

/// Says what helps where nobody asks again, and that lookups suffer if TCP of the same clients is seen here.
fn never_again(finding: &mut Finding, queries: &[Query], world: &World<'_>) {
    let speaks_tcp = |query: &Query| {
        let other = world.facts.dns.elsewhere.get(&query.client.addr);
        other.is_some_and(|other| other.mean_rtt_ns().is_some())
    };
    if queries.iter().all(speaks_tcp) {
        if queries.len() >= PATTERN {
            finding.severity = Severity::Warning;
        }
    } else {
        finding
            .limits
            .push("no TCP of the client is seen here: a capture filter may hide that it asked again".to_owned());
    }
    "Use a resolver that asks again over TCP (musl 1.2.4 or newer, so Alpine 3.18), or make the answer fit: fewer records \
     behind the name (a Service with a ClusterIP in place of a headless one), or EDNS in the client (glibc: options edns0)."
        .clone_into(&mut finding.fix.text);
}
