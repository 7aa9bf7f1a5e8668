//! What tshark says of the TCP frames of a file.

use crate::tshark;
use kcap_analyze::track::compat::Flags;
use std::collections::BTreeMap;
use std::path::Path;

const FIELDS: [&str; 6] =
    ["frame.number", "frame.protocols", "tcp.srcport", "ip.flags.mf", "ip.frag_offset", "ipv6.fraghdr.offset"];

/// A frame with TCP.
pub(crate) struct Frame {
    pub(crate) protocols: String,
    pub(crate) left_out: Option<&'static str>,
    /// Names of its flags.
    pub(crate) flags: String,
}

/// Frames with TCP by number; `None` when tshark cannot read the file.
pub(crate) fn frames(file: &Path) -> Option<BTreeMap<u64, Frame>> {
    let names: Vec<String> = Flags::NAMES.iter().map(|(_, name)| format!("tcp.analysis.{name}")).collect();
    let fields = FIELDS.into_iter().chain(names.iter().map(String::as_str));
    let text = tshark::fields(file, &["-Y", "tcp"], fields)?;
    Some(text.lines().filter_map(frame).collect())
}

fn frame(line: &str) -> Option<(u64, Frame)> {
    let columns: Vec<&str> = line.split('\t').collect();
    let (&[number, protocols, ports, more, offset, offset_v6], flags) = columns.split_first_chunk()?;
    let is_set = |field: &str| field.split(',').any(|value| !matches!(value, "" | "0" | "False"));
    let left_out = match () {
        () if ports.contains(',') => Some("with more than one TCP header"),
        () if is_set(more) || is_set(offset) || !offset_v6.is_empty() => Some("of fragments"),
        () if protocols.contains("icmp") => Some("quoted by ICMP"),
        () => None,
    };
    let set = Flags::NAMES.iter().zip(flags).filter(|(_, value)| !value.is_empty());
    let flags: Vec<&str> = set.map(|((_, name), _)| *name).collect();
    Some((number.parse().ok()?, Frame { protocols: protocols.to_owned(), left_out, flags: flags.join(",") }))
}
