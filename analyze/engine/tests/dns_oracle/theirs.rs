//! What tshark says of the DNS messages of a file.

use crate::tshark;
use std::path::Path;

/// A DNS message in a frame of its own.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) frame: u64,
    pub(crate) id: i64,
    /// Empty where the capture cut it off.
    pub(crate) name: String,
    pub(crate) is_response: bool,
    /// The question's frame, and nanoseconds since then.
    pub(crate) answers: Option<(u64, i64)>,
    /// Whether tshark takes it for one that came before.
    pub(crate) is_again: bool,
    /// Whether it lies in one of several DNS messages of its frame, in a fragment, or in what ICMP quotes.
    pub(crate) is_special: bool,
}

const FIELDS: [&str; 10] = [
    "frame.number",
    "frame.protocols",
    "dns.id",
    "dns.qry.name",
    "dns.flags.response",
    "dns.response_to",
    "dns.time",
    "dns.retransmit_request",
    "dns.retransmit_response",
    "dns.count.queries",
];

/// Messages in the order of the file, multicast DNS and its like left out; `None` when tshark cannot read it.
pub(crate) fn messages(file: &Path) -> Option<Vec<Message>> {
    let filter = "dns && !mdns && !llmnr && !nbns";
    let text = tshark::fields(file, &["-2", "-Y", filter], FIELDS)?;
    Some(text.lines().filter_map(message).collect())
}

fn message(line: &str) -> Option<Message> {
    let columns: Vec<&str> = line.split('\t').collect();
    let &[frame, protocols, id, name, response, to, time, again, again_response, questions] = columns.first_chunk()?;
    let seconds = |text: &str| text.parse::<f64>().ok().map(|seconds| (seconds * 1e9).round() as i64);
    let number = |text: &str| {
        let hex = text.strip_prefix("0x").map(|digits| i64::from_str_radix(digits, 16).ok());
        hex.unwrap_or_else(|| text.parse().ok())
    };
    let several = id.contains(',') || questions != "1";
    Some(Message {
        frame: frame.parse().ok()?,
        id: number(id.split(',').next()?)?,
        name: if name == "<Root>" { ".".to_owned() } else { name.to_lowercase() },
        is_response: matches!(response, "1" | "True"),
        answers: to.parse().ok().zip(seconds(time)),
        is_again: !again.is_empty() || !again_response.is_empty(),
        is_special: several || protocols.contains("icmp"),
    })
}
