use super::REPORT;
use kcap_analyze::{
    Report,
    finding::{
        Between, CaptureSummary, Cluster, Evidence, Finding, Fix, Ladder, Role, RuledOut, Severity, StoryLine, Subject,
        Summary, TableSummary, Talker, TunnelSummary,
    },
};
use schemars::generate::SchemaSettings;
use serde_json::Value;
use validate::validate;

fn generated() -> String {
    // What is written, not what might be read: fields left out when empty are not required.
    let generator = SchemaSettings::draft2020_12().for_serialize().into_generator();
    let schema = generator.into_root_schema_for::<Report>();
    serde_json::to_string_pretty(&schema).expect("a schema is JSON") + "\n"
}

#[test]
fn the_committed_schema_is_that_of_the_types() {
    if std::env::var_os("KCAP_UPDATE_SCHEMA").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/schema/kcap.report.1.json");
        std::fs::write(path, generated()).expect("write the schema");
        return;
    }
    assert!(REPORT == generated(), "run the test again with KCAP_UPDATE_SCHEMA=1, and read what changes");
}

fn json(report: &Report) -> Value {
    let mut bytes = Vec::new();
    crate::json::write(report, &mut bytes, false).expect("write to memory");
    serde_json::from_slice(&bytes).expect("valid JSON")
}

fn empty() -> Report {
    Report {
        schema: Report::SCHEMA,
        captures: Vec::new(),
        findings: Vec::new(),
        summary: Summary::default(),
        ladder: Ladder::default(),
        story: Vec::new(),
        not_judged: Vec::new(),
        tables: [].into(),
        limits_hit: Vec::new(),
    }
}

fn finding() -> Finding {
    Finding {
        code: "SVC003",
        slug: "connect-refused",
        severity: Severity::Error,
        confidence: 0.9,
        title: "refused".into(),
        subjects: vec![Subject { role: Role::Client, address: "10.0.0.1".into(), name: None }],
        first: "2024-01-01T00:00:00.000000Z".into(),
        last: "2024-01-01T00:00:01.000000Z".into(),
        counts: [("connects", 3)].into(),
        evidence: vec![Evidence { file: "a.pcap".into(), frames: vec![1, 2], filter: "tcp.flags.reset==1".into() }],
        explanation: "why".into(),
        ruled_out: vec![RuledOut { code: "SVC004".into(), because: "answered".into() }],
        limits: vec!["snapped".into()],
        fix: Fix { text: "do".into(), commands: vec!["kubectl get pods".into()], yaml: Some("a: 1".into()) },
        capture_next: Some("on the node".into()),
    }
}

fn full() -> Report {
    Report {
        captures: vec![CaptureSummary {
            file: "a.pcap".into(),
            compression: Some("gzip".into()),
            ..Default::default()
        }],
        findings: vec![finding()],
        summary: Summary {
            talkers: vec![Talker {
                address: "::1".into(),
                name: Some("x".into()),
                sent_bytes: 1,
                received_bytes: 2,
                connections: 1,
            }],
            tunnels: vec![TunnelSummary {
                kind: "vxlan".into(),
                a: "1.1.1.1".into(),
                b: "2.2.2.2".into(),
                id: Some(1),
                packets_ab: 1,
                packets_ba: 0,
            }],
            protocols: [("tcp".to_owned(), 3)].into(),
            cluster: Cluster { domain: Some("cluster.local".into()), ..Cluster::default() },
            between: vec![Between { from: "a.pcap".into(), clock_offset_us: Some(-1.5), ..Between::default() }],
            ..Default::default()
        },
        story: vec![StoryLine {
            file: "a.pcap".into(),
            frame: 1,
            time: "2024-01-01T00:00:00.000000Z".into(),
            offset_s: 0.0,
            from: "10.0.0.1:1".into(),
            text: "SYN".into(),
        }],
        tables: [("flows", TableSummary { rows: 1 })].into(),
        ..empty()
    }
}

fn schema() -> Value {
    serde_json::from_str(REPORT).expect("the schema is JSON")
}

#[test]
fn reports_are_valid() {
    for report in [empty(), full()] {
        assert_eq!(validate(&schema(), &json(&report)), Ok(()));
    }
}

#[test]
fn what_is_no_report_is_invalid() {
    let change = |change: fn(&mut Value)| {
        let mut report = json(&full());
        change(&mut report);
        validate(&schema(), &report).expect_err("invalid")
    };
    assert_eq!(change(|report| report["findings"][0]["severity"] = "fatal".into()), "/findings/0/severity: oneOf");
    assert_eq!(change(|report| report["captures"][0]["packets"] = "many".into()), "/captures/0/packets: type");
    assert_eq!(change(|report| report["summary"]["protocols"]["tcp"] = 1.5.into()), "/summary/protocols/tcp: type");
    assert_eq!(
        change(|report| drop(report.as_object_mut().expect("an object").remove("not_judged"))),
        ": required not_judged"
    );
}

mod validate;
