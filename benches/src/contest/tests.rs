use super::*;

fn outcome(goal: Goal, metric: Metric) -> Outcome {
    let sample = |cpu_s, mib: f64| Sample { cpu_s, wall_s: cpu_s, peak_bytes: (mib * MIB) as u64 };
    let mut outcome = Outcome {
        name: "",
        against: "",
        metric,
        goal,
        kcap_command: String::new(),
        peer_command: None,
        kcap: vec![sample(2.0, 100.0), sample(3.0, 120.0), sample(4.0, 110.0)],
        peer: vec![sample(4.0, 50.0), sample(3.0, 50.0), sample(2.0, 50.0)],
        value: None,
        skipped: None,
    };
    outcome.value = Some(outcome.spread());
    outcome
}

#[test]
fn ratios_are_taken_round_by_round_and_judged_by_their_median() {
    let spread = outcome(Goal::AtMost(1.0), Metric::Cpu).value.unwrap();
    assert_eq!((spread.min, spread.median, spread.max), (0.5, 1.0, 2.0));
    assert_eq!(outcome(Goal::AtMost(1.0), Metric::Cpu).reached(), Some(true));
    assert_eq!(outcome(Goal::AtMost(0.9), Metric::Wall).reached(), Some(false));
    assert_eq!(outcome(Goal::AtLeast(1.1), Metric::Cpu).reached(), Some(false));
    assert_eq!(outcome(Goal::PeakMib(110.0), Metric::Peak).reached(), Some(true));
    assert_eq!(outcome(Goal::None, Metric::Cpu).reached(), None);
}

#[test]
fn a_missing_peer_is_said_and_not_judged() {
    let contest = Contest {
        name: "x",
        kcap: Job::new(["true"]),
        peer: Some(Job::new(["no-such-program-here"])),
        against: "nobody",
        metric: Metric::Cpu,
        goal: Goal::AtMost(1.0),
        most_rounds: 2,
        files: vec!["/dev/null".into()],
    };
    let outcome = contest.hold(5);
    assert_eq!(outcome.skipped.as_deref(), Some("nobody is not installed"));
    assert_eq!(outcome.reached(), None);
}
