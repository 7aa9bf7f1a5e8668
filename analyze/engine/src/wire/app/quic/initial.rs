//! A client's Initial packet, opened (RFC 9001 5). Its keys follow from the version and the identifier that it carries. What
//! comes out is not authenticated, which needs all of the packet, but read: it is a `ClientHello` or nothing.

use super::{Header, V1, V2, varint};
use aes::Aes128;
use aes::cipher::{BlockCipherEncrypt, KeyInit};
use hkdf::Hkdf;
use nom::IResult;
use nom::Parser;
use nom::bytes::complete::take;
use nom::multi::length_data;
use sha2::Sha256;

/// Salts (RFC 9001 5.2, RFC 9369 3.3.1, and of the drafts that were in use).
const SALT_V1: [u8; 20] = [
    0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17, 0x9a, 0xe6, 0xa4, 0xc8, 0x0c, 0xad, 0xcc, 0xbb, 0x7f,
    0x0a,
];
const SALT_V2: [u8; 20] = [
    0x0d, 0xed, 0xe3, 0xde, 0xf7, 0x00, 0xa6, 0xdb, 0x81, 0x93, 0x81, 0xbe, 0x6e, 0x26, 0x9d, 0xcb, 0xf9, 0xbd, 0x2e,
    0xd9,
];
const SALT_DRAFT_29: [u8; 20] = [
    0xaf, 0xbf, 0xec, 0x28, 0x99, 0x93, 0xd2, 0x4c, 0x9e, 0x97, 0x86, 0xf1, 0x9c, 0x61, 0x11, 0xe0, 0x43, 0x90, 0xa8,
    0x99,
];
const DRAFT_29: u32 = 0xff00_001d;
const DRAFT_32: u32 = 0xff00_0020;

/// A packet's pieces of a hello that are read; browsers cut it in a dozen.
const MAX_PIECES: usize = 64;
const TAG: usize = 16;

/// The keys of what a client sends first.
struct Keys {
    key: [u8; 16],
    iv: [u8; 12],
    header: [u8; 16],
}

impl Keys {
    fn of(version: u32, destination: &[u8]) -> Option<Self> {
        let (salt, prefix) = match version {
            V2 => (SALT_V2, "quicv2 "),
            DRAFT_29..=DRAFT_32 => (SALT_DRAFT_29, "quic "),
            V1 | 0xff00_0021..=0xff00_0022 => (SALT_V1, "quic "),
            _ => return None,
        };
        let initial = Hkdf::<Sha256>::new(Some(&salt), destination);
        let secret: [u8; 32] = expand(&initial, "client in")?;
        let client = Hkdf::<Sha256>::from_prk(&secret).ok()?;
        let named = |name: &str| format!("{prefix}{name}");
        Some(Self {
            key: expand(&client, &named("key"))?,
            iv: expand(&client, &named("iv"))?,
            header: expand(&client, &named("hp"))?,
        })
    }

    /// The bytes to add to those of a packet, block by block: counter mode, the first block being the tag's
    /// (NIST SP 800-38D 7.2).
    fn stream(&self, number: u32) -> impl Iterator<Item = u8> {
        let mut block = [0; 16];
        for (place, byte) in block.iter_mut().zip(self.iv) {
            *place = byte;
        }
        for (place, byte) in block.iter_mut().take(12).rev().zip(number.to_le_bytes()) {
            *place ^= byte;
        }
        let cipher = Aes128::new(&self.key.into());
        (2u32..).flat_map(move |counter| {
            if let Some(place) = block.last_chunk_mut() {
                *place = counter.to_be_bytes();
            }
            encrypted(&cipher, block)
        })
    }
}

fn encrypted(cipher: &Aes128, block: [u8; 16]) -> [u8; 16] {
    let mut block = block.into();
    cipher.encrypt_block(&mut block);
    block.into()
}

/// RFC 8446 7.1, without context.
fn expand<const N: usize>(secret: &Hkdf<Sha256>, label: &str) -> Option<[u8; N]> {
    let label = format!("tls13 {label}");
    let info = [&(N as u16).to_be_bytes(), &[label.len() as u8][..], label.as_bytes(), &[0]].concat();
    let mut key = [0; N];
    secret.expand(&info, &mut key).ok()?;
    Some(key)
}

/// Pieces of the `ClientHello` in the packet at the start of a datagram, with their places in it. `origin` is the identifier
/// that the client made up for the first packet.
pub(super) fn pieces(datagram: &[u8], header: &Header<'_>, origin: &[u8]) -> Option<Vec<(usize, Vec<u8>)>> {
    let keys = Keys::of(header.version, origin)?;
    let (_, protected) = protected(datagram.get(header.at..)?).ok()?;
    let sample: [u8; 16] = *protected.get(4..)?.first_chunk()?;
    let mask = encrypted(&Aes128::new(&keys.header.into()), sample);
    let first = datagram.first()? ^ mask.first()? & 0x0f;
    let len = usize::from(first & 3).checked_add(1)?;
    let number = protected.iter().zip(mask.get(1..)?).take(len);
    let number = number.fold(0, |number, (byte, mask)| number << 8 | u32::from(byte ^ mask));
    let secret = protected.get(len..)?;
    let plain: Vec<u8> = secret.iter().zip(keys.stream(number)).map(|(byte, key)| byte ^ key).collect();
    if first & RESERVED == 0 { crypto(&plain) } else { None }
}

/// The packet from its number on, without the tag, behind token and length (RFC 9000 17.2.2).
fn protected(fields: &[u8]) -> IResult<&[u8], &[u8]> {
    let (rest, _token) = length_data(varint).parse(fields)?;
    let (rest, len) = varint(rest)?;
    take(len.saturating_sub(TAG).min(rest.len())).parse(rest)
}

/// Bits of the first byte that are 0 where the keys are right.
const RESERVED: u8 = 0x0c;

const PADDING: u8 = 0;
const PING: u8 = 1;
const ACK: u8 = 2;
const ACK_ECN: u8 = 3;
const CRYPTO: u8 = 6;

/// What CRYPTO frames carry; none where other frames are there than an Initial packet may have, so that the keys are wrong.
fn crypto(plain: &[u8]) -> Option<Vec<(usize, Vec<u8>)>> {
    let (mut rest, mut pieces) = (plain, Vec::new());
    while let Some((kind, tail)) = rest.split_first() {
        rest = match *kind {
            PADDING | PING => tail,
            ACK | ACK_ECN => acknowledgement(tail, *kind == ACK_ECN).ok()?.0,
            CRYPTO if pieces.len() < MAX_PIECES => {
                let (tail, (at, data)) = piece(tail).ok()?;
                pieces.push((at, data.to_vec()));
                tail
            }
            _ => return None,
        };
    }
    Some(pieces)
}

/// RFC 9000 19.3: the largest, the delay, further ranges, the first range; each range has two numbers.
fn acknowledgement(bytes: &[u8], has_counts: bool) -> IResult<&[u8], ()> {
    let (mut rest, (_, _, ranges, _)) = (varint, varint, varint, varint).parse(bytes)?;
    let numbers = ranges.min(MAX_PIECES).saturating_mul(2).saturating_add(if has_counts { 3 } else { 0 });
    for _ in 0..numbers {
        rest = varint(rest)?.0;
    }
    Ok((rest, ()))
}

/// Place and data of a CRYPTO frame; what of it was captured.
fn piece(bytes: &[u8]) -> IResult<&[u8], (usize, &[u8])> {
    let (rest, (at, len)) = (varint, varint).parse(bytes)?;
    let (rest, data) = take(len.min(rest.len())).parse(rest)?;
    Ok((rest, (at, data)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9001 A.1.
    #[test]
    fn the_keys_of_the_standard_come_out() {
        let keys = Keys::of(V1, &[0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08]).expect("a version with keys");
        assert_eq!(u128::from_be_bytes(keys.key), 0x1f36_9613_dd76_d546_7730_efcb_e3b1_a22d);
        assert_eq!(keys.iv, [0xfa, 0x04, 0x4b, 0x2f, 0x42, 0xa3, 0xfd, 0x3b, 0x46, 0xfb, 0x25, 0x5c]);
        assert_eq!(u128::from_be_bytes(keys.header), 0x9f50_449e_04a0_e810_283a_1e99_33ad_edd2);
    }
}
