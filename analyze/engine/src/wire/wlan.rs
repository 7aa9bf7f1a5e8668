//! IEEE 802.11 data frames as access points send them through GRE, without what the air adds (IEEE 802.11-2020 9.2.4).
//!
//! ```text
//! | frame control | duration | address 1 | address 2 | address 3 | sequence | [address 4] | [QoS] | [HT control] | LLC
//! ```

use super::Next;
use super::layers::Layer;
use super::walk::{Step, Walk};
use nom::Parser;
use nom::bytes::complete::take;
use nom::combinator::cond;
use nom::number::complete::{le_u16, u8};

/// First byte of frame control: version and type.
const VERSION_AND_TYPE: u8 = 0x0f;
const DATA: u8 = 0x08;
const NO_DATA: u8 = 0x40;
const QOS: u8 = 0x80;
/// Second byte: its flags.
const BOTH_SYSTEMS: u8 = 0x03;
const PROTECTED: u8 = 0x40;
const HT_CONTROL: u8 = 0x80;
/// In the field for quality of service: several frames in one.
const AGGREGATE: u16 = 0x80;

const TO_SEQUENCE: usize = 22;
const ADDRESS: usize = 6;
const HT_CONTROL_LEN: usize = 4;

struct Header {
    kind: u8,
    flags: u8,
    qos: u16,
}

fn header(input: &[u8]) -> nom::IResult<&[u8], Header, ()> {
    let (input, (kind, flags, _)) = (u8, u8, take(TO_SEQUENCE)).parse(input)?;
    let has_qos = kind & QOS != 0;
    let (input, _) = cond(flags & BOTH_SYSTEMS == BOTH_SYSTEMS, take(ADDRESS)).parse(input)?;
    let (input, qos) = cond(has_qos, le_u16).parse(input)?;
    let (input, _) = cond(has_qos && flags & HT_CONTROL != 0, take(HT_CONTROL_LEN)).parse(input)?;
    Ok((input, Header { kind, flags, qos: qos.unwrap_or_default() }))
}

pub(super) fn decode(walk: &mut Walk<'_>) -> Step {
    if walk.bytes().first().is_some_and(|kind| kind & VERSION_AND_TYPE != DATA) {
        return Err(walk.undecoded("802.11"));
    }
    let Header { kind, flags, qos } = walk.parse(Layer::Wlan, header)?;
    if kind & NO_DATA != 0 {
        return Ok(Next::END);
    }
    if flags & PROTECTED != 0 || qos & AGGREGATE != 0 {
        return Err(walk.undecoded("802.11"));
    }
    Ok(Next::LLC)
}
