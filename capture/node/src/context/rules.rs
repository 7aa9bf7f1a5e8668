//! Rules of the node's packet filter that name addresses, as the tools that print rules print them.

use super::missing;
use kcap_file::note::Missing;
use std::net::IpAddr;
use std::process::{Command, Stdio};

/// Rules kept.
const MAX_RULES: usize = 500;
/// What prints all rules. Each sees those of its kind only: legacy tables, or nftables and what iptables put there.
const PRINTERS: [(&str, &[&str]); 4] = [
    ("iptables-legacy-save", &[]),
    ("ip6tables-legacy-save", &[]),
    ("iptables-save", &[]),
    ("nft", &["list", "ruleset"]),
];

/// Rules that name one of the addresses.
pub(super) fn touching(addresses: &[IpAddr], missed: &mut Vec<Missing>) -> Vec<String> {
    let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    let mut found: Vec<String> = Vec::new();
    let mut printed = false;
    for (program, arguments) in PRINTERS {
        let output = Command::new(program).args(arguments).stdin(Stdio::null()).stderr(Stdio::null()).output();
        let Some(output) = output.ok().filter(|output| output.status.success()) else { continue };
        printed = true;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let new = text.lines().map(str::trim).filter(|line| addresses.iter().any(|address| names(line, address)));
        for line in new.take(MAX_RULES - found.len()) {
            if !found.iter().any(|known| known == line) {
                found.push(line.to_owned());
            }
        }
    }
    if !printed {
        missed.push(missing("rules", &"neither iptables-save nor nft is here, or they lack CAP_NET_ADMIN"));
    }
    found
}

/// Whether a rule has the address as a word of its own: 10.0.0.1 is not part of 10.0.0.12.
fn names(rule: &str, address: &str) -> bool {
    let is_part = |c: char| c.is_ascii_hexdigit() || c == '.' || c == ':';
    rule.split(|c: char| !is_part(c)).any(|word| {
        word == address
            || word.strip_prefix(address).is_some_and(|port| port.starts_with(':') && !address.contains(':'))
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_address_is_a_word() {
        let names = super::names;
        assert!(names("-A KUBE-SEP-X -s 10.0.0.1/32 -j KUBE-MARK-MASQ", "10.0.0.1"));
        assert!(names("-A KUBE-SEP-X -p tcp -j DNAT --to-destination 10.0.0.1:5432", "10.0.0.1"));
        assert!(names("dnat to { 0 : 10.0.0.1 . 80 }", "10.0.0.1"));
        assert!(!names("-A X -s 10.0.0.12/32", "10.0.0.1"));
        assert!(!names("-A X -s 110.0.0.1/32", "10.0.0.1"));
        assert!(names("-A X -d fd00::1/128 -j Y", "fd00::1"));
        assert!(!names("-A X -d fd00::1:2/128 -j Y", "fd00::1"));
    }
}
