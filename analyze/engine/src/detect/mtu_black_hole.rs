use super::About;
use super::evidence::{count_of, some_of};
use super::path_mtu::TooBig;
use super::stall_groups::{Group, Known, groups};
use super::vantage::Spot;
use super::world::World;
use crate::Addr;
use crate::finding::{Finding, Role, Severity};
use crate::time::rfc3339;
use std::collections::BTreeSet;

pub(super) const ABOUT: About = About {
    code: "MTU001",
    slug: "mtu-black-hole",
    title: "full-size segments never arrive while small ones do",
    severity: Severity::Critical,
    what: "Segments of full size vanish on the way, every time they are sent, while small packets of the same connections \
           pass.",
    why: "Connections open and small requests work, but every big request or response hangs until somebody gives up. The \
          path takes smaller packets than the sender makes, and the ICMP message that would tell it so is filtered or \
          never sent.",
    how: "Where the segments are seen: the first unacknowledged segment is sent three or more times and never \
          acknowledged, while the peer lives and lacks no small packet, or while further connections begin and stop at \
          the same size. Where they are not: what arrives of the sender is ahead of at least three full segments, none of \
          which ever came, or of one or two in three connections. In neither case did anything as big pass between the \
          two since.",
    false_positives: "Random loss hits all sizes and is repaired by the second or third attempt. A closed window stops \
                      any size. A dead peer or a lost path acknowledges small packets no more either. Segmentation \
                      offload shows packets longer than the path takes: sizes are those of segments sent again, or of \
                      the MSS.",
    fix: "Give pods the MTU of the underlay less the overlay's overhead (VXLAN and Geneve 50 bytes, IPIP 20, WireGuard 60; \
          20 more over IPv6), the same on all nodes, and let ICMP type 3 code 4 and ICMPv6 type 2 through.",
    filter: "tcp.analysis.retransmission && tcp.len > 1000 || tcp.analysis.lost_segment",
    judge: find,
};

fn find(world: &World<'_>) -> Vec<Finding> {
    let unexplained = |group: &&Group<'_>| group.outer.is_none() && !lacks_fragments(group, world);
    groups(world).iter().filter(unexplained).map(|group| judge(group, world)).collect()
}

/// Whether lost fragments of the tunnel are a finding already.
fn lacks_fragments(group: &Group<'_>, world: &World<'_>) -> bool {
    let names = |finding: &Finding, end: &Addr| finding.subjects.iter().any(|s| s.address == end.to_string());
    let mut lost = world.found(&["MTU004"]).filter(|finding| finding.severity > Severity::Info);
    lost.any(|finding| group.tunnels.iter().any(|(_, a, b)| names(finding, a) && names(finding, b)))
}

fn judge(group: &Group<'_>, world: &World<'_>) -> Finding {
    let connections = count_of(group.connections(), "connection");
    let (size, path) = (group.size(), group.path());
    let title = format!("packets of {size} bytes from {} to {} never arrive ({connections})", path.from, path.to);
    let mut finding = Finding::of(&ABOUT, title);
    finding.confidence = if group.is_seen_sent() || group.connections() > 1 { 0.9 } else { 0.8 };
    describe(&mut finding, group, world);
    finding.explanation = format!(
        "{connections} from {} to {} stop at a segment of full size: {} {} {}{}",
        some_of(group.senders(), 3),
        some_of(group.receivers(), 3),
        proof(group),
        passes(group, world),
        who(group, world),
        told(group),
    );
    finding
}

/// What both findings about stalled connections say: subjects, counts, frames, alternatives, commands.
pub(super) fn describe(finding: &mut Finding, group: &Group<'_>, world: &World<'_>) {
    for server in &group.servers() {
        finding.about(Role::Server, server);
    }
    for client in &group.clients() {
        finding.about(Role::Client, client);
    }
    for (_, a, b) in &group.tunnels {
        finding.about(Role::Vtep, a);
        finding.about(Role::Vtep, b);
    }
    count(finding, group, world);
    let (first, last) = group.span_ns();
    finding.span(first, last);
    finding.cite(world, group.frames(), &filter(group));
    finding.rule_out("NET001", "loss hits packets of any size, and what is sent again gets through");
    finding.rule_out("APP003", "the receiver's window was never 0");
    advise(finding, group, world);
    if !group.is_seen_sent() {
        let sender = group.senders().into_iter().take(1).flat_map(|from| [Spot::NodeOf(from), Spot::Host(from)]);
        let tells = "the point where the big segments are last seen is where they are dropped";
        finding.capture_next = world.capture_next(sender, tells);
    }
}

/// Commands that look; what changes something is in the text.
fn advise(finding: &mut Finding, group: &Group<'_>, world: &World<'_>) {
    let to = group.path().to;
    // Headers of IP and ICMP, and of IP and TCP.
    let (echo, segment, iptables) = if to.is_v4() { (28, 40, "iptables") } else { (48, 60, "ip6tables") };
    let clamp = match group.path_mtu(world) {
        Some(mtu) => format!("--set-mss {}", mtu.saturating_sub(segment)),
        None => "--clamp-mss-to-pmtu".to_owned(),
    };
    let rule = format!("{iptables} -t mangle -A FORWARD -p tcp --tcp-flags SYN,RST SYN -j TCPMSS {clamp}");
    finding.fix.text = format!("{} Until then clamp the MSS on the nodes: `{rule}`.", finding.fix.text);
    finding.fix.commands = vec![
        format!("ping -M do -s {} {to}", group.size().saturating_sub(echo)),
        "ip -d link show | grep -E 'mtu|vxlan|geneve|ipip|wireguard'".to_owned(),
    ];
}

fn count(finding: &mut Finding, group: &Group<'_>, world: &World<'_>) {
    finding.counts.insert("connections", group.connections() as i64);
    finding.counts.insert("resent_segments", group.resent() as i64);
    finding.counts.insert("missing_bytes", group.missing() as i64);
    finding.counts.insert("packet_bytes", group.size().into());
    finding.counts.insert("largest_passed", group.largest_passed(world).into());
    finding.counts.insert("connections_ok", group.connections_ok(world) as i64);
    let guess = group.path_mtu(world);
    for (name, value) in [("mss", group.mss()), ("path_mtu", guess)] {
        if let Some(value) = value {
            finding.counts.insert(name, value.into());
        }
    }
    if let Some(errors) = group.icmp_errors() {
        finding.counts.insert("icmp_errors", errors as i64);
    }
}

fn proof(group: &Group<'_>) -> String {
    let size = group.size();
    let sent = count_of(group.resent(), "time");
    if group.is_seen_sent() {
        return format!("packets of {size} bytes are sent again {sent} and never acknowledged, though small ones are.");
    }
    format!(
        "{} were sent and never came here, as the sequence number of the sender's next small packet shows, which did \
         come. At an MSS of {} these are packets of {size} bytes.",
        count_of(group.missing(), "byte"),
        group.mss().map_or_else(|| "unknown size".to_owned(), |mss| mss.to_string()),
    )
}

fn passes(group: &Group<'_>, world: &World<'_>) -> String {
    let known = match (group.passed_until_ns(world), group.connections_ok(world)) {
        (Some(ns), _) => format!("Packets as big passed until {}. ", rfc3339(ns)),
        (None, 0) => String::new(),
        (None, n) => {
            let others = count_of(n, "other connection");
            format!("Packets of up to {} bytes pass in {others}. ", group.largest_passed(world))
        }
    };
    match group.path_mtu(world) {
        Some(mtu) => format!("{known}The path takes about {mtu} bytes."),
        None => format!(
            "{known}The path takes less than {size} bytes: with an underlay of {size}, VXLAN or Geneve leave {}, IPIP {}.",
            group.size().saturating_sub(50),
            group.size().saturating_sub(20),
            size = group.size(),
        ),
    }
}

/// Between which points they vanish, where that was seen.
fn who(group: &Group<'_>, world: &World<'_>) -> String {
    let (seen, unseen) = group.places(world);
    match (seen.is_empty(), unseen.is_empty()) {
        (false, false) => format!(
            "They are seen at {} and not at {}: they are dropped in between.",
            some_of(&seen, 4),
            some_of(&unseen, 4)
        ),
        (false, true) => format!("They are dropped behind {}.", some_of(&seen, 4)),
        _ => format!("They are dropped before {}.", some_of(&unseen, 4)),
    }
}

fn told(group: &Group<'_>) -> String {
    match &group.icmp {
        Known::No => " No ICMP message tells the sender, so it is filtered or not sent.".to_owned(),
        Known::Yes(too_big) => format!(
            " ICMP from {} asks for packets of at most {} bytes, and the sender does not follow: the message does not \
             reach it.",
            some_of(&too_big.hops, 2),
            mtu_of(too_big)
        ),
    }
}

pub(super) fn mtu_of(too_big: &TooBig) -> String {
    if too_big.mtu == 0 { "unnamed size".to_owned() } else { too_big.mtu.to_string() }
}

fn filter(group: &Group<'_>) -> String {
    let ports: BTreeSet<u16> = group.stalled.iter().map(|one| one.client.port).collect();
    let ports: Vec<String> = ports.iter().take(PORTS).map(u16::to_string).collect();
    format!("tcp.port in {{{}}}", ports.join(", "))
}

/// Ports named in a filter.
const PORTS: usize = 16;
