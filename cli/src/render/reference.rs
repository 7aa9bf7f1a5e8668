//! A report that has one of everything, for tests.

use kcap_analyze::{
    Report,
    finding::{
        Between, CaptureSummary, Cluster, ConnectionCounts, Evidence, Finding, Fix, Ladder, Range, Role, RuledOut,
        Rung, Severity, StoryLine, Subject, Summary, TableSummary, Talker, TunnelSummary,
    },
};

/// A report of a capture in which nothing is wrong.
pub(crate) fn healthy() -> Report {
    Report {
        schema: Report::SCHEMA,
        captures: vec![CaptureSummary {
            file: "web-0.pcap".into(),
            format: "pcap".into(),
            packets: 1234,
            bytes: 987_654,
            first: Some("2024-05-01T12:00:00.000000Z".into()),
            last: Some("2024-05-01T12:00:12.345678Z".into()),
            complete: true,
            ..CaptureSummary::default()
        }],
        findings: Vec::new(),
        summary: Summary {
            talkers: vec![talker("10.244.1.10", Some("production/web-0"), 12)],
            connections: ConnectionCounts { established: 12, ..ConnectionCounts::default() },
            protocols: [("tcp flows".to_owned(), 12), ("arp packets".to_owned(), 34)].into(),
            ..Summary::default()
        },
        ladder: Ladder { tcp: Rung::Ok, ..Ladder::default() },
        story: Vec::new(),
        not_judged: vec!["DNS: no query was captured".into()],
        tables: [("flows", TableSummary { rows: 12 })].into(),
        limits_hit: Vec::new(),
    }
}

/// A report of three findings, two tunnels, torn and hostile input.
pub(crate) fn sick() -> Report {
    Report {
        captures: captures(),
        findings: vec![overlay(), refused(), drops()],
        summary: summary(),
        ladder: Ladder { overlay: Rung::Broken, tcp: Rung::Degraded, ..Ladder::default() },
        limits_hit: vec!["3 connections were forgotten early: --memory 64M was full at frame 120000".into()],
        ..healthy()
    }
}

/// A report that tells a connection's story.
pub(crate) fn story() -> Report {
    let line = |frame, offset_s, from: &str, text: &str| StoryLine {
        file: "web-0.pcap".into(),
        frame,
        time: "2024-05-01T12:00:01.000000Z".into(),
        offset_s,
        from: from.into(),
        text: text.into(),
    };
    let (client, server) = ("10.244.1.10:40000", "10.96.0.10:80");
    let story = vec![
        line(12, 0.0, client, "SYN, MSS 1460: asks for a connection"),
        line(
            13,
            0.000_412,
            server,
            "RST, ACK: refuses it; nothing listens on port 80 of this address, or a node in between says so",
        ),
        line(120_044, 1.012_345, client, "SYN again"),
    ];
    Report { story, ..healthy() }
}

fn captures() -> Vec<CaptureSummary> {
    vec![
        CaptureSummary {
            file: "node-a.pcapng.gz".into(),
            format: "pcapng".into(),
            compression: Some("gzip".into()),
            packets: 120_044,
            bytes: 98_765_432,
            first: Some("2024-05-01T12:00:00.000000Z".into()),
            last: Some("2024-05-01T12:04:05.000000Z".into()),
            points: vec!["eth0".into(), "flannel.1".into()],
            complete: false,
            problems: vec!["ends in the middle of a record at byte 45678901; 1 record lost".into()],
        },
        CaptureSummary {
            file: "evil\u{1b}[2J.pcap".into(),
            format: "pcap".into(),
            packets: 1,
            bytes: 60,
            complete: true,
            ..CaptureSummary::default()
        },
    ]
}

fn summary() -> Summary {
    let tunnel = |b: &str, packets_ba| TunnelSummary {
        kind: "vxlan".into(),
        a: "192.168.1.10".into(),
        b: b.into(),
        id: Some(1),
        packets_ab: 1200,
        packets_ba,
    };
    Summary {
        talkers: vec![talker("10.244.1.10", Some("production/web-0"), 120), talker("fd00:10:244::1:2", None, 1)],
        tunnels: vec![tunnel("192.168.1.11", 0), tunnel("192.168.1.12", 1100)],
        connections: ConnectionCounts {
            established: 118,
            refused: 3,
            unanswered: 41,
            rejected: 1,
            reset: 2,
            midstream: 4,
        },
        protocols: [("tcp flows".to_owned(), 169), ("dns flows".to_owned(), 2000), ("icmp packets".to_owned(), 44)]
            .into(),
        cluster: Cluster {
            nodes: vec!["192.168.1.10".into(), "192.168.1.11".into()],
            pods: vec![Range { range: "10.244.1.0/24".into(), behind: Some("192.168.1.10".into()), addresses: 2 }],
            services: Some(Range { range: "10.96.0.10/32".into(), behind: None, addresses: 1 }),
            domain: Some("cluster.local".into()),
        },
        between: vec![Between {
            from: "node-a.pcap".into(),
            to: "b/node-b.pcap".into(),
            sent_packets: 1000,
            lost_packets: 3,
            delay_p50_us: Some(250.4),
            delay_p99_us: Some(2100.0),
            clock_offset_us: Some(-250_000.5),
            clock_bound_us: Some(0.7),
        }],
    }
}

fn talker(address: &str, name: Option<&str>, connections: i64) -> Talker {
    Talker {
        address: address.into(),
        name: name.map(Into::into),
        sent_bytes: 1_234_567,
        received_bytes: 456,
        connections,
    }
}

fn overlay() -> Finding {
    let vtep = |address: &str| Subject { role: Role::Vtep, address: address.into(), name: None };
    Finding {
        code: "OVL001",
        slug: "overlay-one-way",
        severity: Severity::Critical,
        confidence: 0.95,
        title: "VXLAN packets pass from 192.168.1.10 to 192.168.1.11 and none comes back".into(),
        subjects: vec![vtep("192.168.1.10"), vtep("192.168.1.11")],
        first: "2024-05-01T12:00:03.100000Z".into(),
        last: "2024-05-01T12:03:59.000000Z".into(),
        counts: [("handshakes", 41), ("packets_back", 0), ("packets_there", 1200)].into(),
        evidence: vec![Evidence {
            file: "node-a.pcapng.gz".into(),
            frames: (1..=12).map(|n| n * 11).collect(),
            filter: "udp.port == 8472 && ip.addr == 192.168.1.10 && ip.addr == 192.168.1.11 && vxlan.vni == 1 && tcp.flags.syn == 1".into(),
        }],
        explanation: "1,200 encapsulated packets left for 192.168.1.11 in four minutes while tunnels to other nodes carried \
                      both directions, so this node's own encapsulation works. All 41 handshakes inside repeat and none completes."
            .into(),
        ruled_out: vec![RuledOut {
            code: "SVC004".into(),
            because: "the unanswered connections go to nine different pods, all of them behind this one tunnel".into(),
        }],
        limits: vec!["only one end was captured".into()],
        fix: Fix {
            text: "Let UDP port 8472 pass between the nodes in both directions: security groups, host firewalls.".into(),
            commands: vec!["kubectl get nodes -o wide".into(), "iptables -nvL INPUT | grep 8472".into()],
            yaml: None,
        },
        capture_next: Some("on 192.168.1.11: tcpdump -ni any udp port 8472".into()),
    }
}

fn refused() -> Finding {
    Finding {
        code: "SVC003",
        slug: "connect-refused",
        severity: Severity::Error,
        confidence: 0.9,
        title: "every connect to 10.96.0.10:80 is refused".into(),
        subjects: vec![Subject {
            role: Role::Client,
            address: "10.244.1.10".into(),
            name: Some("prod\u{202e}uction/web-0".into()),
        }],
        first: "2024-05-01T12:00:01.000000Z".into(),
        last: "2024-05-01T12:00:01.000000Z".into(),
        counts: [("connects", 3)].into(),
        evidence: vec![Evidence {
            file: "node-a.pcapng.gz".into(),
            frames: vec![13],
            filter: "tcp.flags.reset == 1".into(),
        }],
        explanation: "Each SYN is answered by a reset after 0.4 ms with the TTL of the pod's own node.".into(),
        ruled_out: Vec::new(),
        limits: Vec::new(),
        fix: Fix {
            text: "Give the service endpoints.".into(),
            commands: Vec::new(),
            yaml: Some("spec:\n  selector:\n    app: web".into()),
        },
        capture_next: None,
    }
}

fn drops() -> Finding {
    Finding {
        code: "CAP001",
        slug: "capture-drops",
        severity: Severity::Info,
        confidence: 1.0,
        title: "the capture lost 12 packets".into(),
        subjects: Vec::new(),
        evidence: Vec::new(),
        counts: [("dropped", 12)].into(),
        explanation: "The interface statistics count them.".into(),
        ruled_out: Vec::new(),
        limits: Vec::new(),
        fix: Fix { text: "Capture less, or with a larger buffer.".into(), ..Fix::default() },
        ..refused()
    }
}
