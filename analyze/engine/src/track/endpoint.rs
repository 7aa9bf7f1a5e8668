use crate::{Addr, Packet};
use std::fmt;

/// An address and a port.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Endpoint {
    /// Address.
    pub addr: Addr,
    /// Port; 0 where the protocol has none.
    pub port: u16,
}

impl Endpoint {
    /// Where a packet comes from.
    #[inline]
    pub fn src(packet: &Packet) -> Self {
        Self { addr: packet.src, port: packet.src_port }
    }

    /// Where a packet goes.
    #[inline]
    pub fn dst(packet: &Packet) -> Self {
        Self { addr: packet.dst, port: packet.dst_port }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.addr.is_v4() {
            write!(f, "{}:{}", self.addr, self.port)
        } else {
            write!(f, "[{}]:{}", self.addr, self.port)
        }
    }
}
