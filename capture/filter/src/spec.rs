//! What is wanted: ports, hosts, networks, protocols.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// The packets wanted. Values of one list are alternatives; lists that are not empty must all agree, at the same level
/// of encapsulation.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Spec {
    /// Source or destination port.
    pub ports: Vec<PortRange>,
    /// Source or destination address.
    pub hosts: Vec<IpAddr>,
    /// A network of the source or destination address.
    pub nets: Vec<Net>,
    /// Protocol.
    pub protocols: Vec<Protocol>,
    /// TCP ports whose packets are left out when they are not in a tunnel: the capture's own way out.
    pub except: Vec<u16>,
}

impl Spec {
    /// Whether every packet is wanted.
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }

    /// Whether anything but [`except`](Self::except) is asked for.
    pub(crate) fn selects(&self) -> bool {
        !(self.ports.is_empty() && self.hosts.is_empty() && self.nets.is_empty() && self.protocols.is_empty())
    }
}

/// As the options would have it said.
impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        list(&mut parts, "port", &self.ports);
        list(&mut parts, "host", &self.hosts);
        list(&mut parts, "net", &self.nets);
        list(&mut parts, "proto", &self.protocols);
        list(&mut parts, "except tcp port", &self.except);
        f.write_str(&parts.join(", "))
    }
}

fn list<T: fmt::Display>(parts: &mut Vec<String>, name: &str, values: &[T]) {
    if !values.is_empty() {
        let values: Vec<_> = values.iter().map(ToString::to_string).collect();
        parts.push(format!("{name} {}", values.join(" or ")));
    }
}

/// Why a value of a filter option means nothing.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpecError {
    /// Not a port, a range of ports, or one with a protocol.
    #[error("{0:?} is no port: 80, 8000-8100 or udp/53")]
    Port(String),
    /// Not a network.
    #[error("{0:?} is no network: 10.0.0.0/8 or fd00::/64")]
    Net(String),
    /// Not a protocol.
    #[error("{0:?} is no protocol: tcp, udp, sctp, icmp, icmp6, arp or a number")]
    Protocol(String),
}

/// A protocol with ports.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Transport {
    /// RFC 9293.
    Tcp,
    /// RFC 768.
    Udp,
    /// RFC 9260.
    Sctp,
}

impl Transport {
    pub(crate) const ALL: [Self; 3] = [Self::Tcp, Self::Udp, Self::Sctp];

    /// Its number in the IP header.
    pub fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }
}

/// Ports, of one protocol or of any.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct PortRange {
    /// The protocol; any that has ports when there is none.
    pub transport: Option<Transport>,
    /// First port.
    pub first: u16,
    /// Last port, included.
    pub last: u16,
}

impl FromStr for PortRange {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let error = || SpecError::Port(text.to_owned());
        let (transport, ports) = match text.split_once('/') {
            Some((name, ports)) => {
                let found = Transport::ALL.into_iter().find(|known| known.name() == name);
                (Some(found.ok_or_else(error)?), ports)
            }
            None => (None, text),
        };
        let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
        let port = |text: &str| text.parse::<u16>().map_err(|_| error());
        let (first, last) = (port(first)?, port(last)?);
        if first <= last { Ok(Self { transport, first, last }) } else { Err(error()) }
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(transport) = self.transport {
            write!(f, "{}/", transport.name())?;
        }
        if self.first == self.last { write!(f, "{}", self.first) } else { write!(f, "{}-{}", self.first, self.last) }
    }
}

/// A network in CIDR notation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Net {
    /// An address in it.
    pub address: IpAddr,
    /// Leading bits that count.
    pub prefix: u8,
}

impl FromStr for Net {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let error = || SpecError::Net(text.to_owned());
        let (address, prefix) = text.split_once('/').ok_or_else(error)?;
        let address: IpAddr = address.parse().map_err(|_| error())?;
        let prefix = prefix.parse::<u8>().map_err(|_| error())?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        if prefix <= longest { Ok(Self { address, prefix }) } else { Err(error()) }
    }
}

impl fmt::Display for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// A protocol over IP, or ARP.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Protocol {
    /// By its number in the IP header.
    Ip(u8),
    /// RFC 826.
    Arp,
}

/// Names of protocols that have one here.
const PROTOCOLS: [(&str, Protocol); 6] = [
    ("tcp", Protocol::Ip(6)),
    ("udp", Protocol::Ip(17)),
    ("sctp", Protocol::Ip(132)),
    ("icmp", Protocol::Ip(1)),
    ("icmp6", Protocol::Ip(58)),
    ("arp", Protocol::Arp),
];

impl FromStr for Protocol {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let named = PROTOCOLS.iter().find(|(name, _)| *name == text).map(|(_, protocol)| *protocol);
        let numbered = || text.parse().map(Self::Ip);
        named.map_or_else(numbered, Ok).map_err(|_| SpecError::Protocol(text.to_owned()))
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (PROTOCOLS.iter().find(|(_, protocol)| protocol == self), self) {
            (Some((name, _)), _) => f.write_str(name),
            (None, Self::Ip(number)) => write!(f, "{number}"),
            (None, Self::Arp) => f.write_str("arp"),
        }
    }
}
