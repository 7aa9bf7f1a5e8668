//! Kafka (its protocol guide): the kind of a request. Responses carry no kind, so they say nothing.

use super::{Said, Text, Traits};
use nom::IResult;
use nom::Parser;
use nom::bytes::complete::take;
use nom::number::complete::{be_i16, be_i32, be_u16, be_u32};

/// The longest request that is believed to be one (`socket.request.max.bytes` is 100 MiB).
const LONGEST: u32 = 100 << 20;
/// Versions of requests so far go up to 17.
const LAST_VERSION: u16 = 24;

/// A request: length, key, version, correlation, the client's name.
pub(super) fn request(bytes: &[u8]) -> Option<Said> {
    let (_, Header { len, key, version, correlation, client }) = header(bytes).ok()?;
    let is_name = client.iter().all(u8::is_ascii_graphic);
    let plausible = (10..LONGEST).contains(&len) && version <= LAST_VERSION && correlation >= 0;
    let whole = u32::try_from(bytes.len()).is_ok_and(|all| all.saturating_sub(4) <= len);
    if !(plausible && whole && is_name) {
        return None;
    }
    let name = name(key)?;
    // A fetch waits for `max_wait_ms`, a join for the other members.
    let waits = matches!(key, 1 | 11 | 14);
    Some(Said::new(Text::of(name.as_bytes())).with(Traits::WAITS.only_if(waits)))
}

struct Header<'a> {
    len: u32,
    key: u16,
    version: u16,
    correlation: i32,
    client: &'a [u8],
}

fn header(bytes: &[u8]) -> IResult<&[u8], Header<'_>> {
    let (rest, (len, key, version, correlation, name_len)) = (be_u32, be_u16, be_u16, be_i32, be_i16).parse(bytes)?;
    let name_len = usize::try_from(name_len).unwrap_or(if name_len == -1 { 0 } else { usize::MAX });
    let (rest, client) = take(name_len).parse(rest)?;
    Ok((rest, Header { len, key, version, correlation, client }))
}

fn name(key: u16) -> Option<&'static str> {
    Some(match key {
        0 => "Produce",
        1 => "Fetch",
        2 => "ListOffsets",
        3 => "Metadata",
        8 => "OffsetCommit",
        9 => "OffsetFetch",
        10 => "FindCoordinator",
        11 => "JoinGroup",
        12 => "Heartbeat",
        13 => "LeaveGroup",
        14 => "SyncGroup",
        15 => "DescribeGroups",
        16 => "ListGroups",
        17 => "SaslHandshake",
        18 => "ApiVersions",
        19 => "CreateTopics",
        20 => "DeleteTopics",
        22 => "InitProducerId",
        24 => "AddPartitionsToTxn",
        26 => "EndTxn",
        36 => "SaslAuthenticate",
        _ => return None,
    })
}

/// Nothing is said.
pub(super) fn response(_: &[u8]) -> Option<Said> {
    None
}
