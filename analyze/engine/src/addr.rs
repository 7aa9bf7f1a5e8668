use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An IPv4 or IPv6 address in 16 bytes; IPv4 is held as IPv4-mapped IPv6 (RFC 4291 2.5.5.2).
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Addr(pub [u8; 16]);

// As numbers: comparing and hashing bytes calls a function for each, and addresses are the keys of most maps.
impl Ord for Addr {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        u128::from_be_bytes(self.0).cmp(&u128::from_be_bytes(other.0))
    }
}

impl PartialOrd for Addr {
    #[inline]
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Hash for Addr {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u128(u128::from_ne_bytes(self.0));
    }
}

const MAPPED: [u8; 12] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];

impl Addr {
    /// Four bytes of an IPv4 header.
    #[inline]
    pub fn v4([a, b, c, d]: [u8; 4]) -> Self {
        Self([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d])
    }

    /// Sixteen bytes of an IPv6 header.
    #[inline]
    pub fn v6(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Whether it is of the host itself (RFC 1122 3.2.1.3, RFC 4291 2.5.3).
    pub fn is_loopback(&self) -> bool {
        self.ip().is_loopback()
    }

    /// Whether it is of a range that is not routed on the internet (RFC 1918, 6598, 4193, 4291).
    pub fn is_private(&self) -> bool {
        match self.0 {
            [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, ..] => {
                matches!((a, b), (10, _) | (172, 16..=31) | (192, 168) | (100, 64..=127) | (169, 254))
            }
            [first, second, ..] => first & 0xfe == 0xfc || (first == 0xfe && second & 0xc0 == 0x80),
        }
    }

    /// Whether it is an IPv4 address.
    pub fn is_v4(self) -> bool {
        self.0[..12] == MAPPED
    }

    /// What display filters call its protocol.
    pub(crate) fn family(self) -> &'static str {
        if self.is_v4() { "ip" } else { "ipv6" }
    }

    /// The standard library's form.
    pub fn ip(self) -> IpAddr {
        let [.., a, b, c, d] = self.0;
        if self.is_v4() { Ipv4Addr::new(a, b, c, d).into() } else { Ipv6Addr::from(self.0).into() }
    }
}

impl From<IpAddr> for Addr {
    fn from(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(ip) => Self::v4(ip.octets()),
            IpAddr::V6(ip) => Self::v6(ip.octets()),
        }
    }
}

impl fmt::Display for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.ip().fmt(f)
    }
}

impl fmt::Debug for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.ip().fmt(f)
    }
}
