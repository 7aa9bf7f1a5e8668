use super::*;

fn read(text: &str) -> Conntrack {
    let mut listing = Conntrack::default();
    listing.read(text);
    listing
}

fn end(text: &str, port: u16) -> Endpoint {
    Endpoint { addr: text.parse::<IpAddr>().unwrap().into(), port }
}

const TUPLES: &str =
    "src=10.244.1.5 dst=10.96.0.20 sport=37500 dport=80 src=10.244.2.7 dst=10.244.1.5 sport=8080 dport=37500";

#[test]
fn every_form_of_an_entry_is_read() {
    let forms = [
        format!("tcp      6 431999 ESTABLISHED {TUPLES} [ASSURED] mark=0 use=1"),
        format!("ipv4     2 tcp      6 119 TIME_WAIT {TUPLES} [ASSURED] mark=0 zone=0 use=2"),
        format!(
            "[1795197567.121700]\t    [NEW] tcp      6 120 SYN_SENT {} id=27",
            TUPLES.replace("src=10.244.2.7", "[UNREPLIED] src=10.244.2.7")
        ),
        format!("    [NEW] tcp      6 120 SYN_SENT {TUPLES}"),
        format!("[DESTROY] tcp      6 {TUPLES} [ASSURED] id=2789560444"),
        format!(
            "tcp 6 {} mark=0 [HW_OFFLOAD] use=2",
            TUPLES.replace(" src=10.244.2.7", " packets=5 bytes=300 src=10.244.2.7")
        ),
        format!("ipv4 2 tcp 6 300 ESTABLISHED {TUPLES} [OFFLOAD] labels=0x1 delta-time=77 zone-orig=1"),
    ];
    for form in forms {
        let listing = read(&form);
        let entry = listing.get(6, end("10.244.1.5", 37500), end("10.96.0.20", 80)).unwrap_or_else(|| panic!("{form}"));
        assert_eq!(entry.translated(), (end("10.244.1.5", 37500), end("10.244.2.7", 8080)), "{form}");
        assert_eq!((entry.unreplied, listing.left_out), (form.contains("UNREPLIED"), 0), "{form}");
        assert_eq!(entry.ns, form.starts_with("[17").then_some(1_795_197_567_121_700_000), "{form}");
    }
}

#[test]
fn other_protocols_and_versions_are_read() {
    let ping = "icmp     1 29 src=10.0.0.1 dst=10.0.0.2 type=8 code=0 id=77 src=10.0.0.2 dst=10.0.0.1 type=0 code=0 id=77 mark=0 use=1";
    assert!(read(ping).get(1, end("10.0.0.1", 77), end("10.0.0.2", 77)).is_some());
    let six = "ipv6     10 udp      17 29 src=fd00::1 dst=fd00::2 sport=9 dport=53 [UNREPLIED] src=fd00::2 dst=fd00::1 sport=53 dport=9 mark=0 use=2";
    assert!(read(six).get(17, end("fd00::1", 9), end("fd00::2", 53)).is_some_and(|entry| entry.unreplied));
    let igmp = "unknown  2 594 src=10.0.0.1 dst=224.0.0.1 [UNREPLIED] src=224.0.0.1 dst=10.0.0.1 mark=0 use=1";
    assert!(read(igmp).get(2, end("10.0.0.1", 0), end("224.0.0.1", 0)).is_some());
}

#[test]
fn counters_are_summed_over_processors_and_told_as_growth() {
    let first = "cpu=0   \tfound=1 invalid=2 insert=0 insert_failed=3 drop=4\ncpu=1   \tfound=0 invalid=0 insert_failed=1 drop=0\n";
    assert_eq!(read(first).stat("insert_failed"), Some(4));
    let both = format!("{first}{}", first.replace("insert_failed=3", "insert_failed=13"));
    assert_eq!(read(&both).stat("insert_failed"), Some(10));
    assert_eq!(read(&both).stat("drop"), Some(0));
    let full = format!("cpu=0 drop={0}\ncpu=1 drop={0}\n", u64::MAX);
    assert_eq!(read(&full).stat("drop"), Some(u64::MAX));
    let proc = "entries  searched found new invalid insert_failed drop\n0000000a 00 00 00 10 0000001f 02\n0000000a 00 00 00 00 00000001 00\n";
    assert_eq!(read(proc).stat("insert_failed"), Some(32));
    assert_eq!(read(proc).stat("invalid"), Some(16));
    assert_eq!(read(proc).stat("no such"), None);
}

#[test]
fn what_is_no_listing_is_counted() {
    let listing = read(
        "hello\n\nsrc=1.2.3.4\ntcp 6 src=x dst=y src=z dst=w\nconntrack v1.4.7 (conntrack-tools): 6 flow entries\n",
    );
    assert_eq!(listing.left_out, 3);
    assert!(listing.is_empty());
}

proptest::proptest! {
    #[test]
    fn nothing_makes_it_panic(text in "(\\PC|[\\[\\]=\\. \n]){0,200}") {
        read(&text);
    }
}
