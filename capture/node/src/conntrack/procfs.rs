//! Tracked connections as `/proc/net/nf_conntrack` lists them, for who may not ask netlink. Not every kernel has it
//! (`CONFIG_NF_CONNTRACK_PROCFS`).

use kcap_file::note::{ConntrackNote, Tuple};
use std::io::{self, BufRead as _, BufReader};

const FILE: &str = "/proc/thread-self/net/nf_conntrack";

/// The entries of the namespace that the thread is in, one after the other.
pub(super) fn entries() -> io::Result<impl Iterator<Item = ConntrackNote>> {
    let lines = BufReader::new(std::fs::File::open(FILE)?).lines();
    Ok(lines.map_while(Result::ok).filter_map(|line| entry(&line)))
}

/// `ipv4 2 tcp 6 117 TIME_WAIT src=… dst=… sport=… dport=… [UNREPLIED] src=… … [ASSURED] mark=0 zone=0 use=2`; the state
/// is TCP's, and the time is not there while an entry is unconfirmed.
fn entry(line: &str) -> Option<ConntrackNote> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let pairs: Vec<(&str, &str)> = words.iter().filter_map(|word| word.split_once('=')).collect();
    let second = pairs.iter().enumerate().filter(|(_, (key, _))| *key == "src").nth(1)?.0;
    let (original, reply) = pairs.split_at(second);
    let status = if words.contains(&"[UNREPLIED]") { 0 } else { ConntrackNote::SEEN_REPLY };
    let assured = if words.contains(&"[ASSURED]") { ConntrackNote::ASSURED } else { 0 };
    let number = |key: &str| reply.iter().find(|(name, _)| *name == key).and_then(|(_, value)| value.parse().ok());
    let protocol = words.get(3)?.parse().ok()?;
    let state = words.get(5).filter(|_| protocol == 6);
    Some(ConntrackNote {
        protocol,
        original: tuple(original)?,
        reply: tuple(reply)?,
        status: status | assured,
        tcp_state: state.and_then(|state| super::TCP_STATES.iter().position(|known| known == state)).map(|at| at as u8),
        timeout: words.get(4).and_then(|word| word.parse().ok()).unwrap_or_default(),
        mark: number("mark").unwrap_or_default(),
        zone: number("zone").and_then(|zone| u16::try_from(zone).ok()).unwrap_or_default(),
    })
}

fn tuple(pairs: &[(&str, &str)]) -> Option<Tuple> {
    let text = |key: &str| pairs.iter().find(|(name, _)| *name == key).map(|(_, value)| *value);
    let port = |key: &str| text(key).and_then(|port| port.parse().ok());
    Some(Tuple {
        source: Some(text("src")?.parse().ok()?),
        destination: Some(text("dst")?.parse().ok()?),
        source_port: port("sport").or_else(|| port("id")).unwrap_or_default(),
        destination_port: port("dport").unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_kernel_are_read() {
        let tcp = "ipv4     2 tcp      6 117 TIME_WAIT src=10.0.0.7 dst=10.96.0.1 sport=4000 dport=80 src=10.0.1.9 \
                   dst=10.0.0.7 sport=8080 dport=4000 [ASSURED] mark=16384 zone=3 use=2";
        let found = entry(tcp).unwrap();
        assert_eq!((found.protocol, found.tcp_state, found.timeout), (6, Some(7), 117));
        assert_eq!(
            (found.status, found.mark, found.zone),
            (ConntrackNote::SEEN_REPLY | ConntrackNote::ASSURED, 16_384, 3)
        );
        assert_eq!((found.original.destination_port, found.reply.source_port), (80, 8080));
        assert_eq!(found.reply.source, Some("10.0.1.9".parse().unwrap()));
        let udp = "ipv6     10 udp      17 29 src=fd00::1 dst=fd00::2 sport=53 dport=99 [UNREPLIED] src=fd00::2 \
                   dst=fd00::1 sport=99 dport=53 mark=0 use=1";
        let found = entry(udp).unwrap();
        assert_eq!((found.protocol, found.status, found.tcp_state, found.timeout), (17, 0, None, 29));
        let ping = "ipv4 2 icmp 1 25 src=10.0.0.1 dst=10.0.0.2 type=8 code=0 id=77 src=10.0.0.2 dst=10.0.0.1 type=0 \
                    code=0 id=77 mark=0 use=1";
        assert_eq!(entry(ping).unwrap().original.source_port, 77);
        for line in ["", "ipv4 2 tcp 6", "ipv4 2 tcp 6 1 NONE src=x dst=y src=z dst=w", "src=10.0.0.1 src=10.0.0.2"] {
            assert!(entry(line).is_none(), "{line}");
        }
    }
}
