use super::About;
use super::evidence::count_of;
use super::overlay::{ATTEMPTS, Inside};
use super::world::World;
use crate::Addr;
use crate::finding::{Finding, Role, Severity};
use crate::track::tunnels::{Checked, Tunnel};

pub(super) const ABOUT: About = About {
    code: "OVL003",
    slug: "vxlan-checksum",
    title: "packets of an overlay arrive with a wrong checksum and are dropped",
    severity: Severity::Error,
    what: "Outer UDP packets of a tunnel that open connections arrive with a checksum that is not right. The receiving \
           kernel drops them without a word.",
    why: "Connections through the tunnel hang, or come about after 63 s, when the sixth repetition takes another way \
          through the sender's rules. Mostly only connections to a ClusterIP or NodePort are hit, or those from the host.",
    how: "The outer checksum of frames that carry a SYN, where there is one and the whole datagram was captured. Said when \
          SYNs with a wrong one had to be repeated or were never answered, all of them, and others of the same way have a \
          right one, or the file says that the frames came in.",
    false_positives: "Where packets are sent, the network card still has to fill the checksum in: there all of them look \
                      wrong, and connections work; between machines of one host it may stay so up to the receiver. A \
                      checksum of 0 means none.",
    fix: "Linux before 5.7 computes it wrong where a packet is masqueraded twice (ea64d8d6c675): update the kernel, let \
          kube-proxy not masquerade with --random-fully what is encapsulated already, or turn the offload off.",
    filter: "udp.checksum.status == \"Bad\"",
    judge: find,
};

/// One way through a tunnel.
struct Way<'a> {
    from: Addr,
    to: Addr,
    sums: &'a Checked,
    /// Attempts through it that were never answered, and those that were after a repetition.
    failed: u64,
    late: u64,
    /// SYNs of these attempts.
    syns: u64,
}

fn find(world: &World<'_>) -> Vec<Finding> {
    let tunnels = world.tunnels.iter().zip(world.tunnel_uses).zip(0..);
    let ways = tunnels.filter_map(|((tunnel, usage), id)| {
        let sums = usage.sums.as_deref()?;
        Some(ways(tunnel, [&sums.a, &sums.b], world.facts.overlay.inside(id)?))
    });
    ways.flatten().filter(Way::is_dropped).map(|way| judge(&way, world)).collect()
}

fn ways<'a>(tunnel: &Tunnel, [a, b]: [&'a Checked; 2], inside: &Inside) -> [Way<'a>; 2] {
    let ([late_a, late_b], [syns_a, syns_b]) = (inside.late, inside.troubled_syns);
    [
        Way { from: tunnel.a, to: tunnel.b, sums: a, failed: inside.from_a, late: late_a, syns: syns_a },
        Way { from: tunnel.b, to: tunnel.a, sums: b, failed: inside.from_b, late: late_b, syns: syns_b },
    ]
}

/// Interfaces of one host that may show an outer packet.
const SHOWN: u64 = 2;

impl Way<'_> {
    /// Whether what is wrong does not pass: then no attempt that went well had such a SYN, and most of those of the others
    /// are wrong. Bits that flip on the way spare the repetition.
    fn is_dropped(&self) -> bool {
        let Checked { right, wrong, arrived_wrong, .. } = *self.sums;
        let known = right > 0 || arrived_wrong >= ATTEMPTS;
        let explained = wrong <= self.syns * SHOWN && wrong * 3 >= self.syns * 2;
        known && wrong >= ATTEMPTS && self.failed + self.late > 0 && explained
    }
}

fn judge(way: &Way<'_>, world: &World<'_>) -> Finding {
    let Way { from, to, sums, failed, late, .. } = way;
    let wrong = count_of(sums.wrong, "SYN");
    let mut finding = Finding::of(&ABOUT, format!("{wrong} from {from} reach {to} with a wrong checksum"));
    finding.confidence = if sums.right > 0 { 0.9 } else { 0.8 };
    finding.about(Role::Vtep, from);
    finding.about(Role::Vtep, to);
    finding.counts.insert("wrong_checksums", sums.wrong as i64);
    finding.counts.insert("right_checksums", sums.right as i64);
    finding.counts.insert("unanswered", *failed as i64);
    finding.counts.insert("late_connects", *late as i64);
    let family = from.family();
    let filter = format!("{family}.src == {from} && {family}.dst == {to} && udp");
    finding.cite(world, sums.frames.iter().copied(), &filter);
    finding.explanation = format!(
        "Of the encapsulated SYNs from {from} to {to}, {} have a wrong outer UDP checksum and {} a right one. {} inside \
         stayed unanswered, {} came about only after the SYN was sent again: {to} drops what is wrong unopened.",
        sums.wrong,
        sums.right,
        count_of(*failed, "attempt"),
        count_of(*late, "connection"),
    );
    finding.rule_out("OVL001", "packets with a right checksum pass, or are seen to arrive");
    finding.limits.push("Wireshark checks UDP checksums only when told to (udp.check_checksum)".to_owned());
    finding.fix.commands = vec![
        "nstat -az UdpInCsumErrors   # on the receiving node".to_owned(),
        "ethtool -K flannel.1 tx-checksum-ip-generic off   # on the sending node".to_owned(),
    ];
    finding
}
