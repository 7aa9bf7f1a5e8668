//! Notes as kcap writes them, and as nobody should.

use super::*;
use kcap_file::Interface;
use kcap_file::note::{ENTERPRISE, LinkNote, PlaceNote, Trailer, When};

const KUBELET: &str = "# by hand\nsearch shop.svc.cluster.local svc.cluster.local cluster.local\n\
                       nameserver 10.96.0.10\noptions edns0 ndots:5\n";

fn tuple(source: &str, source_port: u16, destination: &str, destination_port: u16) -> Tuple {
    let address = |text: &str| text.parse().ok();
    Tuple { source: address(source), destination: address(destination), source_port, destination_port }
}

fn context(ts_ns: i64, insert_failed: u64) -> Context {
    let links = vec![
        LinkNote { addresses: vec![("127.0.0.1".parse().unwrap(), 8)], ..LinkNote::default() },
        LinkNote { addresses: vec![("10.0.0.7".parse().unwrap(), 24)], ..LinkNote::default() },
    ];
    let entry = ConntrackNote {
        protocol: 6,
        original: tuple("10.0.0.7", 4000, "10.96.0.1", 80),
        reply: tuple("10.0.1.9", 8080, "10.0.0.7", 4000),
        status: ConntrackNote::SEEN_REPLY,
        ..ConntrackNote::default()
    };
    Context {
        place: "shop/api".to_owned(),
        when: if ts_ns == 0 { When::Before } else { When::After },
        ts_ns,
        resolv_conf: Some(KUBELET.to_owned()),
        links,
        conntrack: vec![entry],
        conntrack_stats: Some(ConntrackStats { insert_failed, drop: 3, ..ConntrackStats::default() }),
        ..Context::default()
    }
}

fn capture(node: bool, contexts: Vec<Context>) -> CaptureInfo {
    let places = vec![PlaceNote { name: "shop/api".to_owned(), node, ..PlaceNote::default() }];
    let head = Note::Capture(CaptureNote { node: "node1".to_owned(), places, ..CaptureNote::default() });
    let notes = std::iter::once(head).chain(contexts.into_iter().map(|context| Note::Context(Box::new(context))));
    let custom_blocks = notes.map(|note| (ENTERPRISE, note.encode())).collect();
    CaptureInfo { custom_blocks, ..CaptureInfo::default() }
}

#[test]
fn the_resolver_of_a_pod_is_known() {
    let told = Told::of(&[capture(false, vec![context(0, 0)])]);
    let resolvers = told.resolvers();
    let own = "10.0.0.7".parse::<std::net::IpAddr>().unwrap().into();
    assert_eq!(resolvers.len(), 1, "not that of loopback");
    assert_eq!(resolvers[&own].ndots, 5);
    assert_eq!(resolvers[&own].search.lists(), [["shop.svc.cluster.local", "svc.cluster.local", "cluster.local"]]);
    assert!(Told::of(&[capture(true, vec![context(0, 0)])]).resolvers().is_empty());
}

#[test]
fn the_last_lines_of_a_resolver_count() {
    let one =
        resolver("domain old.example\nsearch A.example. b.example\noptions ndots:2 timeout:1\noptions ndots:99\n");
    assert_eq!((one.search.lists(), one.ndots), (vec![vec!["a.example", "b.example"]], 15));
    let none = resolver("nameserver 10.0.0.1\nsearch .\noptions ndots:x\n");
    assert!(none.search.is_empty());
    assert_eq!(none.ndots, 1);
    assert_eq!(resolver("search only.example").search.lists(), [["only.example"]]);
}

#[test]
fn tracked_connections_are_a_listing() {
    let mut conntrack = Conntrack::default();
    Told::of(&[capture(false, vec![context(9, 7), context(0, 4)])]).add_to(&mut conntrack);
    let end = |text: &str, port| Endpoint { addr: text.parse::<std::net::IpAddr>().unwrap().into(), port };
    let entry = conntrack.get(6, end("10.0.0.7", 4000), end("10.96.0.1", 80)).unwrap();
    assert_eq!(entry.translated(), (end("10.0.0.7", 4000), end("10.0.1.9", 8080)));
    assert!(!entry.unreplied);
    assert_eq!(conntrack.stat("insert_failed"), Some(3));
    assert_eq!(conntrack.stat("drop"), None, "what did not grow here says nothing of other nodes");
}

#[test]
fn counters_since_the_start_of_the_node_are_no_growth() {
    let mut conntrack = Conntrack::default();
    Told::of(&[capture(false, vec![context(0, 4)])]).add_to(&mut conntrack);
    assert_eq!(conntrack.stat("insert_failed"), None);
    // Nor are those of two nodes.
    let mut other = capture(false, vec![context(9, 400)]);
    let head = Note::Capture(CaptureNote { node: "node2".to_owned(), ..CaptureNote::default() });
    other.custom_blocks[0] = (ENTERPRISE, head.encode());
    Told::of(&[capture(false, vec![context(0, 4)]), other]).add_to(&mut conntrack);
    assert_eq!(conntrack.stat("insert_failed"), None);
}

#[test]
fn what_is_no_note_says_nothing() {
    let info = CaptureInfo {
        custom_blocks: vec![(ENTERPRISE, b"{\"kcap\":1,\"note\":\"context\",\"links\":7}".to_vec()), (1, vec![0; 9])],
        ..CaptureInfo::default()
    };
    let told = Told::of(&[info]);
    assert!(told.resolvers().is_empty());
    let mut conntrack = Conntrack::default();
    told.add_to(&mut conntrack);
    assert!(conntrack.is_empty());
}

fn ended(packets: u64) -> (u32, Vec<u8>) {
    let trailer = Trailer { packets, ended_ns: Some(90), ..Trailer::default() };
    (ENTERPRISE, Note::Trailer(trailer).encode())
}

#[test]
fn a_whole_capture_listened_to_its_end() {
    let mut info = CaptureInfo { packets: 3, last_ns: Some(50), ..capture(false, Vec::new()) };
    assert_eq!(until_ns(&info), None, "no trailer: it was killed");
    info.custom_blocks.push(ended(3));
    assert_eq!(until_ns(&info), Some(90));
    info.packets = 2;
    assert_eq!(until_ns(&info), None, "somebody cut packets out of it");
    (info.packets, info.last_ns) = (3, Some(91));
    assert_eq!(until_ns(&info), None, "clocks were set");
}

#[test]
fn captures_of_all_interfaces_have_both_directions() {
    let up = |name: &str| LinkNote { name: name.to_owned(), up: true, ..LinkNote::default() };
    let with = |node: bool, filter: Option<&str>, interfaces: &[&str]| {
        let context = Context { links: vec![up("lo"), up("eth0")], ..context(0, 0) };
        let mut info = capture(node, vec![context]);
        let places = vec![PlaceNote { name: "shop/api".to_owned(), node, ..PlaceNote::default() }];
        let head = CaptureNote { places, filter: filter.map(str::to_owned), ..CaptureNote::default() };
        info.custom_blocks.push((ENTERPRISE, Note::Capture(head).encode()));
        let named = |name: &&str| Interface { name: Some((*name).to_owned()), ..Interface::default() };
        CaptureInfo { interfaces: interfaces.iter().map(named).collect(), ..info }
    };
    let both = ["shop/api/lo", "shop/api/eth0"];
    assert!(has_both_ways(&with(false, None, &both)));
    assert!(has_both_ways(&with(false, Some("port 5432"), &both)));
    assert!(!has_both_ways(&with(false, Some("port 53, bpf \"dst host 10.0.0.1\""), &both)), "who knows what it asks");
    assert!(!has_both_ways(&with(false, None, &both[1..])), "answers may come on another interface");
    assert!(!has_both_ways(&with(true, None, &both)), "a node passes on what comes back elsewhere");
    assert!(!has_both_ways(&CaptureInfo::default()), "a stranger's");
}
