use super::*;
use serde_json::json;

fn run(text: &str) -> Run {
    toml::from_str::<Expectations>(text).unwrap().run.remove(0)
}

fn outcome() -> Outcome {
    let report = json!({"findings": [{
        "code": "SVC003", "severity": "error", "title": "refused", "counts": {"refused": 12},
        "subjects": [{"role": "server", "address": "10.96.20.5:5432"}],
        "evidence": [{"file": "a.pcap", "frames": [3, 4], "filter": ""}],
    }, {"code": "CAP002", "severity": "info", "title": "snapped", "subjects": [], "evidence": []}]});
    let flows = vec![json!({"proto": 6, "resp": "b", "bytes": 10}), json!({"proto": 17, "resp": null, "bytes": 5})];
    Outcome { report, tables: [("flows".to_owned(), flows)].into(), ..Outcome::default() }
}

#[test]
fn what_was_expected_and_came_is_right() {
    let run = run(r#"
        [[run]]
        files = ["a.pcap"]
        absent = { codes = ["NET001"], at_or_above = "warning" }
        finding = [{ code = "SVC002|SVC003", severity = "error", subjects = ["10.96.20.5"], frames = [4], counts = { refused = 12 } }]
        table = [
            { name = "flows", where = { proto = 6 }, rows = 1, sum = { bytes = 10 } },
            { name = "flows", absent = ["resp"], rows = 1 },
        ]
    "#);
    assert_eq!(check(&run, &outcome()), Vec::<String>::new());
}

#[test]
fn a_finding_that_is_missing_or_about_somebody_else_is_wrong() {
    for finding in [
        r#"{ code = "NET001" }"#,
        r#"{ code = "SVC003", severity = "info" }"#,
        r#"{ code = "SVC003", subjects = ["10.9.9.9"] }"#,
        r#"{ code = "SVC003", frames = [5] }"#,
        r#"{ code = "SVC003", min = 2 }"#,
        r#"{ code = "SVC003", counts = { refused = 11 } }"#,
    ] {
        let run = run(&format!("[[run]]\nfinding = [{finding}]"));
        assert_eq!(check(&run, &outcome()).len(), 1, "{finding}");
    }
}

#[test]
fn a_finding_that_must_not_be_is_wrong() {
    let by_code = run("[[run]]\nabsent = { codes = [\"CAP002\"] }");
    assert_eq!(check(&by_code, &outcome()), ["must not say CAP002 (info): snapped"]);
    let by_severity = run("[[run]]\nabsent = { at_or_above = \"warning\" }");
    assert_eq!(check(&by_severity, &outcome()), ["must not say SVC003 (error): refused"]);
}

#[test]
fn tables_exit_code_and_messages_are_compared() {
    let run = run(r#"
        [[run]]
        exit = 65
        stderr = ["is not a capture"]
        table = [{ name = "flows", rows = 3 }, { name = "flows", sum = { bytes = 1, none = 0 } }, { name = "dns" }]
    "#);
    assert_eq!(check(&run, &outcome()).len(), 6);
}

#[test]
fn a_misspelt_expectation_is_an_error() {
    assert!(toml::from_str::<Expectations>("[[run]]\nfindings = []").is_err());
}

#[test]
fn every_case_has_all_its_parts() {
    let cases = all().unwrap();
    assert!(!cases.is_empty());
    for case in cases {
        assert!(case.folder.join("README.md").is_file(), "{} has no README.md", case.slug);
        assert!(!case.runs.is_empty(), "{} expects nothing", case.slug);
        for run in &case.runs {
            assert!(!run.files.is_empty(), "{}: a run without files", case.slug);
            for file in &run.files {
                assert!(case.folder.join(file).exists(), "{} has no {file}", case.slug);
            }
        }
    }
}
