use super::Query;
use super::cite::clients;
use super::rcodes::{Errors, errors, finding};
use crate::detect::About;
use crate::detect::evidence::{count_of, some_of};
use crate::detect::world::World;
use crate::finding::{Finding, Severity};
use crate::track::Endpoint;
use crate::track::dns::transaction::rcode::SERVFAIL;

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
        let queries = count_of(silent, "question");
        // Who asks a server that is known to be silent has no fault of its own.
        if world.found(SILENT).any(|finding| finding.severity > Severity::Info && finding.names(&server)) {
            finding.severity = Severity::Info;
        }
        format!(" {server}, which is asked in turn, left {queries} unanswered: that is where it fails.")
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

/// Whom the failing server asks and gets no answer from.
fn upstream(errors: &Errors, world: &World<'_>) -> Option<(Endpoint, u64)> {
    let queries = world.facts.dns.queries();
    let selves = |query: &&Query| {
        errors.servers.iter().any(|server| query.client.addr == server.addr)
            || errors.failed.iter().any(|failed| failed.backend == Some(query.client.addr))
    };
    let silent: Vec<&Query> = queries.iter().filter(selves).filter(|query| query.unanswered > 0).collect();
    Some((silent.first()?.server, silent.len() as u64))
}
