use super::Query;
use super::cite::{clients, names, server_filter};
use super::over_tcp::{is_blocked, over_tcp};
use super::truncation::truncated;
use crate::detect::About;
use crate::detect::evidence::{count_of, some_of};
use crate::detect::world::World;
use crate::finding::{Finding, Severity};
use crate::track::Endpoint;

pub(crate) const ABOUT: About = About {
    code: "DNS010",
    slug: "dns-tcp-blocked",
    title: "DNS over TCP does not work where answers are truncated",
    severity: Severity::Error,
    what: "Answers over UDP are truncated, the client asks again over TCP, and port 53 over TCP does not answer or refuses.",
    why: "Names with big answers cannot be looked up. glibc has no timeout of its own for it: a lookup hangs as long as the \
          kernel repeats SYNs, about 130 s.",
    how: "Answers with TC, and connections of the same clients to TCP port 53 of the same server of which none is \
          established: SYNs are repeated, or answered by reset or ICMP. Where some came about before, two or more since, \
          over 3 s or longer, while answers over UDP are truncated all the same.",
    false_positives: "Where no connection is tried the resolver does not do TCP, and nothing says that it is blocked. Where \
                      some are established meanwhile it is loss or load.",
    fix: "Allow TCP as well as UDP for port 53: in NetworkPolicies of clients (egress) and of the DNS pods (ingress), in \
          security groups, and in the ports of the DNS service.",
    filter: "tcp.port == 53 && tcp.flags.syn == 1 || dns.flags.truncated == 1",
    judge: find,
};

fn find(world: &World<'_>) -> Vec<Finding> {
    truncated(world).filter_map(|(server, queries)| judge(server, &queries, world)).collect()
}

fn judge(server: Endpoint, queries: &[Query], world: &World<'_>) -> Option<Finding> {
    let tcp = over_tcp(server, world);
    if !is_blocked(&tcp, queries) {
        return None;
    }
    let tries = count_of(tcp.failed + tcp.refused, "connection");
    let mut finding = Finding::of(&ABOUT, format!("TCP port 53 of {server} fails ({tries}) after truncated answers"));
    finding.of_queries(queries, &server_filter(server), world);
    finding.cite(world, tcp.frames.iter().copied(), "tcp.port == 53 && tcp.flags.syn == 1");
    finding.counts.insert("truncated_answers", queries.len() as i64);
    finding.counts.insert("tcp_unanswered", tcp.failed as i64);
    finding.counts.insert("tcp_refused", tcp.refused as i64);
    let before = match tcp.established {
        0 => String::new(),
        n => format!(" {} to it came about before, and none since.", count_of(n, "connection")),
    };
    let how = if tcp.refused > tcp.failed { "are refused" } else { "stay unanswered" };
    finding.explanation = format!(
        "{} to {} ({}) were truncated. Of the {tries} to TCP port 53 that followed none was established; they {how}.{before} \
         The lookups hang until the kernel gives up.",
        count_of(queries.len() as u64, "answer"),
        some_of(clients(queries), 3),
        names(queries, world),
    );
    let since = if tcp.established > 0 { " any more" } else { "" };
    finding.rule_out("DNS009", &format!("not one connection to TCP port 53 came about{since}"));
    finding.rule_out("SVC004", "questions to the same address over UDP are answered");
    finding.fix.commands = vec![
        "kubectl get networkpolicy -A -o yaml".to_owned(),
        "kubectl -n kube-system get service kube-dns -o yaml".to_owned(),
    ];
    Some(finding)
}
