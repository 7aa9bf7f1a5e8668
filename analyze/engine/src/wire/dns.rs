//! DNS messages (RFC 1035 4), their extension record (RFC 6891) and what of their records look-ups are about.
//!
//! ```text
//! | id (16) | flags (16) | questions (16) | answers (16) | authorities (16) | additionals (16) |
//! | name | type (16) | class (16) |                              each question
//! | name | type (16) | class (16) | TTL (32) | length (16) | data |   each record
//! ```
//!
//! Read in stages: what a capture has of a message counts, wherever it was cut or goes wrong.

mod name;

pub use name::{Name, is_name, name_at, name_hash, name_text, push_name};

use crate::Addr;
use nom::Parser;
use nom::number::complete::be_u16;

/// Assigned by IANA.
pub const PORT: u16 = 53;
/// Multicast DNS (RFC 6762): the same format for another protocol.
pub const MDNS_PORT: u16 = 5353;
/// Link-local multicast name resolution (RFC 4795): the same.
pub const LLMNR_PORT: u16 = 5355;
/// NetBIOS name service (RFC 1002): nearly the same.
const NETBIOS_PORT: u16 = 137;

const HEADER_LEN: usize = 12;
/// Bytes of a name on the wire, the last empty label included (RFC 1035 2.3.4).
const MAX_NAME: usize = 255;
/// Records looked at of one message: the answers of a 64 KiB message are more, and none of their use.
const MAX_RECORDS: usize = 512;

/// The question of a message, as far as it was captured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Question<'a> {
    /// Captured whole.
    Whole(Asked<'a>),
    /// The capture ends inside it.
    Cut(&'a [u8]),
    /// The message has none, or its bytes are none.
    Absent,
}

/// A question.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Asked<'a> {
    /// Name on the wire: labels behind their lengths, the last one empty.
    pub name: &'a [u8],
    /// Type.
    pub qtype: u16,
    /// Class.
    pub qclass: u16,
}

/// A message, read up to its first question.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// All of it that was captured.
    pub bytes: &'a [u8],
    /// Identification.
    pub id: u16,
    /// Second word of the header (see [`crate::track::dns::transaction::HeaderFlags`]).
    pub flags: u16,
    /// Records by section: questions, answers, authorities, additionals; zeros where they were cut.
    pub counts: [u16; 4],
    /// First question.
    pub question: Question<'a>,
    /// Whether bytes of the message are missing.
    pub is_cut: bool,
}

/// Reads a message that had `len` bytes on the wire; `None` when not even the flags were captured.
pub fn message(bytes: &[u8], len: usize) -> Option<Message<'_>> {
    let is_cut = bytes.len() < len;
    let Some((header, rest)) = bytes.split_first_chunk::<HEADER_LEN>() else { return torn(bytes, is_cut) };
    let &[i0, i1, f0, f1, q0, q1, a0, a1, u0, u1, d0, d1] = header;
    let [id, flags, questions] = [[i0, i1], [f0, f1], [q0, q1]].map(u16::from_be_bytes);
    let [answers, authorities, additionals] = [[a0, a1], [u0, u1], [d0, d1]].map(u16::from_be_bytes);
    let counts = [questions, answers, authorities, additionals];
    let question = if questions > 0 { question(rest, is_cut) } else { Question::Absent };
    Some(Message { bytes, id, flags, counts, question, is_cut })
}

/// A message of which the capture has less than the header.
#[cold]
fn torn(bytes: &[u8], is_cut: bool) -> Option<Message<'_>> {
    let (_, (id, flags)) = (be_u16::<_, ()>, be_u16).parse(bytes).ok().filter(|_| is_cut)?;
    Some(Message { bytes, id, flags, counts: [0; 4], question: Question::Cut(&[]), is_cut })
}

fn question(bytes: &[u8], is_cut: bool) -> Question<'_> {
    let whole = name_len(bytes).and_then(|len| {
        let (name, rest) = bytes.split_at_checked(len)?;
        let &[t0, t1, c0, c1] = rest.first_chunk()?;
        Some(Asked { name, qtype: u16::from_be_bytes([t0, t1]), qclass: u16::from_be_bytes([c0, c1]) })
    });
    match whole {
        Some(asked) => Question::Whole(asked),
        None if is_cut => Question::Cut(bytes),
        None => Question::Absent,
    }
}

/// Bytes of the uncompressed name at the start; `None` when it is compressed, too long or not all there.
fn name_len(bytes: &[u8]) -> Option<usize> {
    let mut at = 0usize;
    loop {
        let label = *bytes.get(at)?;
        at = at.checked_add(1)?.checked_add(label.into())?;
        match label {
            0 => return Some(at),
            1..=63 if at < MAX_NAME => {}
            _ => return None,
        }
    }
}

impl<'a> Message<'a> {
    /// Whether it is an answer.
    pub fn is_response(&self) -> bool {
        self.flags & 0x8000 != 0
    }

    /// Kind of query: 0 is the usual one.
    pub fn opcode(&self) -> u16 {
        self.flags >> 11 & 0xf
    }

    /// Response code without its extended bits.
    pub fn rcode(&self) -> u16 {
        self.flags & 0xf
    }

    /// The question, where it is whole.
    pub fn asked(&self) -> Option<Asked<'a>> {
        match self.question {
            Question::Whole(asked) => Some(asked),
            Question::Cut(_) | Question::Absent => None,
        }
    }

    /// The records behind the question, up to the first that is cut or wrong.
    pub fn records(&self) -> Records<'a> {
        let at = self.asked().and_then(|asked| HEADER_LEN.checked_add(asked.name.len())?.checked_add(4));
        let [questions, ..] = self.counts;
        let readable = at.filter(|_| questions == 1);
        Records { bytes: self.bytes, at: readable, counts: self.counts, section: Section::Answer, seen: 0 }
    }

    /// Whether it looks like unicast DNS so closely that nothing else does by chance: for ports that are not DNS'.
    pub fn has_shape(&self) -> bool {
        let [questions, answers, authorities, additionals] = self.counts;
        let known =
            self.asked().is_some_and(|asked| matches!(asked.qtype, 1..=65 | 99 | 255..=257) && asked.qclass == 1);
        let plain = !self.is_cut && self.opcode() == 0 && self.flags & 0x40 == 0 && questions == 1 && known;
        let empty = answers == 0 && authorities == 0 && additionals <= 1 && self.flags & 0x068f == 0;
        plain && (self.is_response() || empty) && self.ends_where_it_should()
    }

    fn ends_where_it_should(&self) -> bool {
        let mut records = self.records();
        records.by_ref().for_each(drop);
        records.section == Section::Done && records.at == Some(self.bytes.len())
    }
}

/// Whether UDP between these ports may be DNS by its shape: not what has the same format for another purpose.
pub fn may_have_shape(src_port: u16, dst_port: u16) -> bool {
    let other = |port| matches!(port, MDNS_PORT | LLMNR_PORT | NETBIOS_PORT);
    !other(src_port) && !other(dst_port)
}

/// Section of a message that a record is in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Section {
    /// What was asked for.
    Answer,
    /// Who knows more.
    Authority,
    /// What may help, and extensions.
    Additional,
    /// Behind the last.
    Done,
}

/// A record.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Section.
    pub section: Section,
    /// Where its owner's name starts in the message.
    pub name_at: usize,
    /// Type.
    pub rtype: u16,
    /// Class; the datagram size of an extension record.
    pub class: u16,
    /// TTL, seconds; extended response code and flags of an extension record.
    pub ttl: u32,
    /// Data.
    pub data: &'a [u8],
    /// Where the data starts in the message.
    pub data_at: usize,
}

/// Iterator over records (see [`Message::records`]).
#[derive(Clone, Debug)]
pub struct Records<'a> {
    bytes: &'a [u8],
    /// Where the next record starts; nothing behind what is cut or wrong.
    at: Option<usize>,
    counts: [u16; 4],
    section: Section,
    seen: usize,
}

impl Records<'_> {
    /// Whether all records were there.
    pub fn is_complete(&self) -> bool {
        self.section == Section::Done
    }

    /// Steps over sections that are through; none is left behind the last record.
    fn enter(&mut self) -> Option<Section> {
        let [_, answers, authorities, additionals] = &mut self.counts;
        let left = [(Section::Answer, answers), (Section::Authority, authorities), (Section::Additional, additionals)];
        for (section, count) in left {
            if *count > 0 {
                *count = count.saturating_sub(1);
                self.section = section;
                return Some(section);
            }
        }
        self.section = Section::Done;
        None
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        let at = self.at?;
        let section = self.enter()?;
        self.seen = self.seen.saturating_add(1);
        self.at = None;
        if self.seen > MAX_RECORDS {
            return None;
        }
        let fixed = skip_name(self.bytes, at)?;
        let &[t0, t1, c0, c1, a, b, c, d, l0, l1] = self.bytes.get(fixed..)?.first_chunk()?;
        let data_at = fixed.checked_add(10)?;
        let end = data_at.checked_add(u16::from_be_bytes([l0, l1]).into())?;
        let data = self.bytes.get(data_at..end)?;
        self.at = Some(end);
        let (rtype, class) = (u16::from_be_bytes([t0, t1]), u16::from_be_bytes([c0, c1]));
        Some(Record { section, name_at: at, rtype, class, ttl: u32::from_be_bytes([a, b, c, d]), data, data_at })
    }
}

/// Behind the name at `at`, compressed or not.
fn skip_name(bytes: &[u8], mut at: usize) -> Option<usize> {
    let limit = at.checked_add(MAX_NAME)?;
    while at < limit {
        let label = *bytes.get(at)?;
        match label {
            0 => return at.checked_add(1),
            1..=63 => at = at.checked_add(1)?.checked_add(label.into())?,
            192.. => return at.checked_add(2).filter(|end| *end <= bytes.len()),
            _ => return None,
        }
    }
    None
}

/// The address that a record holds.
pub fn address(record: &Record<'_>) -> Option<Addr> {
    match (record.rtype, record.data.len()) {
        (A, 4) => record.data.first_chunk().map(|bytes| Addr::v4(*bytes)),
        (AAAA, 16) => record.data.first_chunk().map(|bytes| Addr::v6(*bytes)),
        _ => None,
    }
}

/// Types this parser looks into.
pub(crate) const A: u16 = 1;
pub(crate) const CNAME: u16 = 5;
pub(crate) const SOA: u16 = 6;
pub(crate) const AAAA: u16 = 28;
pub(crate) const OPT: u16 = 41;

/// Minimum of a start of authority (RFC 1035 3.3.13): its last field.
pub fn soa_minimum(record: &Record<'_>) -> Option<u32> {
    record.data.last_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests;
