//! One capture for each link type: the same connection in each.

use super::File;
use super::talk::{From, ethernet, http_in, http6_in, station};
use crate::file::classic::Classic;
use crate::file::{Frame, Order};
use crate::packet::{Family, Layer, Sll, Sll2, Vlan, mac};

const CASE: &str = "link-types";

pub(super) fn files() -> Vec<File> {
    let file = |name, link_type, frames: Vec<Frame>| File::new(CASE, name, Classic::new(link_type).file(&frames));
    let bare = |_| Vec::new();
    vec![
        file("ethernet.pcap", 1, http_in(ethernet)),
        file("vlan.pcap", 1, http_in(|from| tagged(from, &[Vlan::new(100)]))),
        file("qinq.pcap", 1, http_in(|from| tagged(from, &[Vlan::service(200), Vlan::new(100)]))),
        file("sll.pcap", 113, http_in(sll)),
        file("sll2.pcap", 276, http_in(sll2)),
        file("raw-101.pcap", 101, http_in(bare)),
        file("raw-101-ipv6.pcap", 101, http6_in(bare)),
        file("raw-12.pcap", 12, http_in(bare)),
        file("ipv4-228.pcap", 228, http_in(bare)),
        file("ipv6-229.pcap", 229, http6_in(bare)),
        file("null-little.pcap", 0, http_in(|_| family(2, Order::Little))),
        file("null-big.pcap", 0, http_in(|_| family(2, Order::Big))),
        file("null-ipv6-darwin.pcap", 0, http6_in(|_| family(30, Order::Little))),
        file("null-ipv6-freebsd.pcap", 0, http6_in(|_| family(28, Order::Little))),
        file("loop.pcap", 108, http_in(|_| family(2, Order::Big))),
        file("loop-ipv6-openbsd.pcap", 108, http6_in(|_| family(24, Order::Big))),
    ]
}

fn tagged(from: From, tags: &[Vlan]) -> Vec<Layer> {
    let tags = tags.iter().map(|tag| Layer::from(*tag));
    std::iter::once(station(from, 2, 3)).chain(tags).collect()
}

/// From us is packet type 4, to us 0.
fn sll(from: From) -> Vec<Layer> {
    vec![
        if from == From::Client { Sll { packet_type: 4, src: mac(2) } } else { Sll { packet_type: 0, src: mac(3) } }
            .into(),
    ]
}

fn sll2(from: From) -> Vec<Layer> {
    let (packet_type, src) = if from == From::Client { (4, mac(2)) } else { (0, mac(3)) };
    vec![Sll2 { interface: 7, packet_type, src }.into()]
}

fn family(number: u32, order: Order) -> Vec<Layer> {
    vec![Family { number, order }.into()]
}
