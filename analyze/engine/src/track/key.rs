use super::endpoint::Endpoint;
use crate::packet::TCP;
use crate::{Addr, Packet};
use std::hash::{BuildHasher, RandomState};

/// A five-tuple without direction: both directions of a connection give the same key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
// Packed: what follows it in a connection's two cache lines has no room for padding.
#[repr(C, packed)]
pub(crate) struct Key {
    low: [u64; 2],
    high: [u64; 2],
    ports: u32,
    proto: u8,
}

/// Which end of a [`Key`] sent a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum End {
    /// The end with the lower (address, port).
    #[default]
    Low,
    /// The other end.
    High,
}

impl Key {
    /// The packet's key and which end sent it.
    #[inline]
    pub(crate) fn of(packet: &Packet) -> (Self, End) {
        let (src, dst) = (u128::from_le_bytes(packet.src.0), u128::from_le_bytes(packet.dst.0));
        let proto = packet.proto;
        let (a, b) = (u32::from(packet.src_port), u32::from(packet.dst_port));
        if src < dst || (src == dst && a <= b) {
            (Self { low: halves(src), high: halves(dst), ports: a << 16 | b, proto }, End::Low)
        } else {
            (Self { low: halves(dst), high: halves(src), ports: b << 16 | a, proto }, End::High)
        }
    }

    /// One of the ends.
    pub(crate) fn endpoint(&self, end: End) -> Endpoint {
        let (half, port) = match end {
            End::Low => (self.low, self.ports >> 16),
            End::High => (self.high, self.ports & 0xffff),
        };
        let bytes = u128::from(half[0]) | u128::from(half[1]) << 64;
        Endpoint { addr: Addr(bytes.to_le_bytes()), port: port as u16 }
    }

    /// Number of the IP protocol.
    pub(crate) fn proto(&self) -> u8 {
        self.proto
    }

    /// Whether the protocol is TCP.
    pub(crate) fn is_tcp(&self) -> bool {
        self.proto == TCP
    }

    /// Hash with a seed an attacker does not know, so that nobody can fill one slot's neighbourhood.
    #[inline]
    pub(crate) fn hash(&self, seed: Seed) -> u32 {
        let tail = u64::from(self.ports) << 32 | u64::from(self.proto);
        let a = fold(self.low[0] ^ seed.0[0], self.low[1] ^ seed.0[1]);
        let b = fold(self.high[0] ^ seed.0[2], self.high[1] ^ seed.0[3]);
        let mixed = fold(a ^ seed.0[1], b ^ tail ^ seed.0[0]);
        (mixed ^ (mixed >> 32)) as u32
    }
}

/// Secret of one run's hash tables. It shapes nothing that is printed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seed([u64; 4]);

impl Seed {
    /// A new secret.
    pub(crate) fn random() -> Self {
        let state = RandomState::new();
        Self([0u64, 1, 2, 3].map(|n| state.hash_one(n) | 1))
    }
}

/// Logical shards; fixed, because per-shard caps shape what a full table evicts.
pub(crate) const SHARDS: usize = 8;

/// The shard that tracks ARP and neighbour discovery, all of it.
pub(crate) const NEIGHBOUR_SHARD: usize = 0;

/// The shard that tracks a packet: the same for both directions of a connection and for all its legs.
#[inline]
pub(crate) fn shard_of(packet: &Packet) -> usize {
    let words = sum(words(packet.src.0), words(packet.dst.0));
    let ports = u64::from(packet.src_port) + u64::from(packet.dst_port);
    let mixed = fold(words[0] ^ 0x9e37_79b9_7f4a_7c15, words[1] ^ ports << 48 ^ 0xd1b5_4a32_d192_ed03);
    ((mixed ^ mixed >> 29) % SHARDS as u64) as usize
}

fn sum(a: [u64; 2], b: [u64; 2]) -> [u64; 2] {
    [a[0].wrapping_add(b[0]), a[1].wrapping_add(b[1])]
}

#[inline]
fn words(bytes: [u8; 16]) -> [u64; 2] {
    halves(u128::from_le_bytes(bytes))
}

#[inline]
fn halves(value: u128) -> [u64; 2] {
    [value as u64, (value >> 64) as u64]
}

#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(src: u8, dst: u8, src_port: u16, dst_port: u16) -> Packet {
        Packet {
            src: Addr::v4([10, 0, 0, src]),
            dst: Addr::v4([10, 0, 0, dst]),
            src_port,
            dst_port,
            proto: 6,
            ..Packet::default()
        }
    }

    #[test]
    fn both_directions_share_key_and_shard() {
        for n in 0..200u16 {
            let there = packet(1, 2, 1000 + n, 80);
            let back = packet(2, 1, 80, 1000 + n);
            assert_eq!(Key::of(&there).0, Key::of(&back).0);
            assert_ne!(Key::of(&there).1, Key::of(&back).1);
            let (key, end) = Key::of(&there);
            assert_eq!((key.endpoint(end), key.endpoint(end.other())), (Endpoint::src(&there), Endpoint::dst(&there)));
            assert_eq!(shard_of(&there), shard_of(&back));
        }
    }

    #[test]
    fn shards_are_evenly_used() {
        let mut used = [0; SHARDS];
        for n in 0..8000u16 {
            used[shard_of(&packet((n % 7) as u8, 200, 1024 + n, 443))] += 1;
        }
        assert!(used.iter().all(|&n| (700..1300).contains(&n)), "{used:?}");
    }

    #[test]
    fn hash_depends_on_the_seed() {
        let key = Key::of(&packet(1, 2, 3, 4)).0;
        let hashes: Vec<_> = (0..8).map(|_| key.hash(Seed::random())).collect();
        assert!(hashes.iter().any(|&hash| hash != hashes[0]));
    }
}
