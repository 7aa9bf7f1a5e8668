//! Sockets and counters, from the files of the namespace the thread is in: `/proc/self` would be those of the process's
//! first thread.

use super::missing;
use kcap_file::note::{Missing, SocketNote};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const FOLDER: &str = "/proc/thread-self/net";
/// Sockets kept of one namespace.
const MAX_SOCKETS: usize = 5_000;
/// States of TCP (`net/tcp_states.h`), from 1.
const STATES: [&str; 12] = [
    "established",
    "syn-sent",
    "syn-received",
    "fin-wait-1",
    "fin-wait-2",
    "time-wait",
    "closed",
    "close-wait",
    "last-ack",
    "listen",
    "closing",
    "new-syn-received",
];

pub(super) fn sockets(missed: &mut Vec<Missing>) -> Vec<SocketNote> {
    let mut all = Vec::new();
    for (file, protocol) in [("tcp", "tcp"), ("tcp6", "tcp"), ("udp", "udp"), ("udp6", "udp")] {
        let text = read(file, missed);
        let parsed = text.lines().skip(1).filter_map(|line| socket(line, protocol));
        all.extend(parsed.take(MAX_SOCKETS - all.len()));
    }
    all
}

fn read(file: &str, missed: &mut Vec<Missing>) -> String {
    std::fs::read_to_string(format!("{FOLDER}/{file}")).unwrap_or_else(|error| {
        // Without IPv6 there are no such files.
        if !file.ends_with('6') {
            missed.push(missing(file, &error));
        }
        String::new()
    })
}

/// `sl local remote state tx:rx timer:when retransmits …`, addresses in the host's byte order.
fn socket(line: &str, protocol: &str) -> Option<SocketNote> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let state = usize::from_str_radix(fields.get(3)?, 16).ok()?;
    let (send_queue, receive_queue) = fields.get(4)?.split_once(':')?;
    let hex = |text| u32::from_str_radix(text, 16).ok();
    Some(SocketNote {
        protocol: protocol.to_owned(),
        state: STATES.get(state.checked_sub(1)?)?.to_string(),
        local: endpoint(fields.get(1)?),
        remote: endpoint(fields.get(2)?).filter(|(address, port)| !address.is_unspecified() || *port != 0),
        receive_queue: hex(receive_queue)?,
        send_queue: hex(send_queue)?,
        retransmits: hex(fields.get(6)?)?,
    })
}

fn endpoint(text: &str) -> Option<(IpAddr, u16)> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| u32::from_str_radix(address.get(at * 8..at * 8 + 8)?, 16).ok().map(u32::to_ne_bytes);
    let address = match address.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let words = [word(0)?, word(1)?, word(2)?, word(3)?].concat();
            IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(words).ok()?)).to_canonical()
        }
        _ => return None,
    };
    Some((address, port))
}

pub(super) fn counters(missed: &mut Vec<Missing>) -> Vec<(String, u64)> {
    ["snmp", "netstat"].into_iter().flat_map(|file| pairs(&read(file, missed))).collect()
}

/// Lines come in pairs: `Tcp: RetransSegs …` and `Tcp: 12 …`. What is 0 or below is left out.
fn pairs(text: &str) -> Vec<(String, u64)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for pair in lines.chunks_exact(2) {
        let (Some((group, names)), Some((_, values))) = (pair[0].split_once(':'), pair[1].split_once(':')) else {
            continue;
        };
        for (name, value) in names.split_whitespace().zip(values.split_whitespace()) {
            if let Some(value) = value.parse().ok().filter(|value| *value > 0) {
                found.push((format!("{group}.{name}"), value));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_read_as_the_kernel_prints_them() {
        let line = "   0: 0100007F:1538 0200A8C0:C350 01 00000010:00000020 01:00000019 00000003  1000        0 5 1";
        let found = socket(line, "tcp").unwrap();
        assert_eq!(found.state, "established");
        assert_eq!(found.local, Some((IpAddr::V4(Ipv4Addr::LOCALHOST), 5432)));
        assert_eq!(found.remote, Some(("192.168.0.2".parse().unwrap(), 50_000)));
        assert_eq!((found.send_queue, found.receive_queue, found.retransmits), (16, 32, 3));
        let listening = "   1: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A \
                         00000000:00000002 00:00000000 00000000     0        0 7 1";
        let found = socket(listening, "tcp").unwrap();
        assert_eq!((found.state.as_str(), found.remote, found.receive_queue), ("listen", None, 2));
        for line in ["", "x", "0: 0100007F:1538 0200A8C0:C350 FF 0:0 0:0 0", "0: 1:2 3:4 00 0:0 0:0 0"] {
            assert!(socket(line, "tcp").is_none(), "{line}");
        }
    }

    #[test]
    fn counters_have_names() {
        let text = "Tcp: RtoAlgorithm MaxConn RetransSegs\nTcp: 1 -1 12\nUdp: InDatagrams\nUdp: 0\n";
        assert_eq!(pairs(text), [("Tcp.RtoAlgorithm".to_owned(), 1), ("Tcp.RetransSegs".to_owned(), 12)]);
    }
}
