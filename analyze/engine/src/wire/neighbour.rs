//! Neighbour solicitations and advertisements (RFC 4861 4.3, 4.4), what IPv6 has in place of ARP.

use crate::Addr;

const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
/// Flag of an advertisement that answers a solicitation.
const SOLICITED: u8 = 0x40;
/// Options with the link address of the sender and of the target (RFC 4861 4.6.1), in units of 8 bytes.
const SOURCE_LINK_ADDRESS: u8 = 1;
const TARGET_LINK_ADDRESS: u8 = 2;

/// A neighbour discovery message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Neighbour {
    /// Whether it asks for the target's link address; else it tells it.
    pub is_question: bool,
    /// Whether it answers a question.
    pub is_answer: bool,
    /// The address that is asked for or told of.
    pub target: Addr,
    /// Ethernet address in the option that belongs to the message: the asker's, or the target's.
    pub mac: Option<[u8; 6]>,
}

/// Whether an ICMPv6 message is one of the two, from its first bytes.
pub fn is_one(bytes: &[u8]) -> bool {
    matches!(bytes.first(), Some(&(SOLICITATION | ADVERTISEMENT)))
}

/// Reads one from the bytes at a packet's `l4_offset`; `None` when it is another message, or cut.
pub fn parse(bytes: &[u8]) -> Option<Neighbour> {
    let (&[kind, code, _, _, flags, _, _, _], rest) = bytes.split_first_chunk::<8>()?;
    let (target, options) = rest.split_first_chunk::<16>()?;
    let wanted = match (kind, code) {
        (SOLICITATION, 0) => SOURCE_LINK_ADDRESS,
        (ADVERTISEMENT, 0) => TARGET_LINK_ADDRESS,
        _ => return None,
    };
    let is_question = kind == SOLICITATION;
    let is_answer = !is_question && flags & SOLICITED != 0;
    Some(Neighbour { is_question, is_answer, target: Addr::v6(*target), mac: link_address(options, wanted) })
}

fn link_address(mut options: &[u8], wanted: u8) -> Option<[u8; 6]> {
    while let Some((&[kind, words], _)) = options.split_first_chunk::<2>() {
        let (option, rest) = options.split_at_checked(usize::from(words).saturating_mul(8))?;
        if kind == wanted {
            return option.get(2..).and_then(<[u8]>::first_chunk).copied();
        }
        // An option of no length would never end the list (RFC 4861 4.6 discards such packets).
        options = if words == 0 { &[] } else { rest };
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, flags: u8, options: &[u8]) -> Vec<u8> {
        [&[kind, 0, 0, 0, flags, 0, 0, 0][..], &[7; 16], options].concat()
    }

    #[test]
    fn tells_questions_from_answers() {
        let asked = parse(&message(SOLICITATION, 0, &[1, 1, 2, 3, 4, 5, 6, 7])).expect("a solicitation");
        assert!(asked.is_question && !asked.is_answer);
        assert_eq!((asked.target, asked.mac), (Addr::v6([7; 16]), Some([2, 3, 4, 5, 6, 7])));
        let options = [14, 1, 0, 0, 0, 0, 0, 0, 2, 1, 9, 9, 9, 9, 9, 9];
        let answer = parse(&message(ADVERTISEMENT, 0x60, &options)).expect("an advertisement");
        assert!(!answer.is_question && answer.is_answer);
        assert_eq!(answer.mac, Some([9; 6]));
        assert!(!parse(&message(ADVERTISEMENT, 0x20, &[])).expect("an announcement").is_answer);
    }

    #[test]
    fn reads_what_is_there_and_no_more() {
        let whole = message(ADVERTISEMENT, 0x40, &[2, 1, 9, 9, 9, 9, 9, 9]);
        for len in 0..whole.len() {
            let cut = parse(whole.get(..len).expect("a part"));
            assert_eq!(cut.is_some(), len >= 24, "{len}");
            assert!(cut.is_none_or(|cut| cut.mac.is_none()), "{len}");
        }
        assert_eq!(parse(&message(ADVERTISEMENT, 0, &[2, 0, 9, 9, 9, 9, 9, 9])).expect("a message").mac, None);
        assert!(parse(&message(134, 0, &[])).is_none() && is_one(&whole) && !is_one(&[134]) && !is_one(&[]));
    }
}
