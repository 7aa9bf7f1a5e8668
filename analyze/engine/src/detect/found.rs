//! What detectors found, told to those after them while several judge at a time.

use super::{About, DETECTORS, MAX_FINDINGS};
use crate::detect::world::World;
use crate::finding::Finding;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// What one detector found, as soon as it has judged.
type Verdict = OnceLock<Told>;

/// Findings of a detector, worst first, and how many were left out.
#[derive(Default)]
struct Told {
    findings: Vec<Finding>,
    left_out: usize,
}

/// Findings of the detectors before one, in their order.
#[derive(Default)]
pub(crate) struct Found<'a>(Vec<(&'static str, &'a Verdict)>);

impl<'a> Found<'a> {
    /// Those of detectors that have not judged yet, or have found something.
    fn before(at: usize, verdicts: &'a [Verdict]) -> Self {
        let may_tell = |verdict: &&Verdict| verdict.get().is_none_or(|told| !told.findings.is_empty());
        let before = DETECTORS.iter().zip(&verdicts[..at]);
        Self(before.map(|(about, verdict)| (about.code, verdict)).filter(|(_, verdict)| may_tell(verdict)).collect())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &'a Finding> {
        self.0.iter().flat_map(|(_, verdict)| &verdict.wait().findings)
    }

    /// Waits for the detectors of these codes, and for no other.
    pub(super) fn of_kinds(&self, codes: &[&str]) -> impl Iterator<Item = &'a Finding> {
        let kinds = self.0.iter().filter(|(code, _)| codes.contains(code));
        kinds.flat_map(|(_, verdict)| &verdict.wait().findings)
    }
}

/// What all detectors found, worst first, and how many findings of which code were left out.
pub(crate) struct Judged {
    pub(crate) kept: Vec<Finding>,
    pub(crate) left_out: BTreeMap<&'static str, usize>,
}

/// Threads that judge, at most: few detectors take long.
const MOST: usize = 4;

/// Judges with a number of threads, on which the result does not depend: each detector waits for those before it that it
/// asks about, and the first that has not judged never waits.
pub(crate) fn judge(world: &World<'_>, threads: usize) -> Judged {
    let verdicts: Vec<Verdict> = DETECTORS.iter().map(|_| Verdict::new()).collect();
    let next = AtomicUsize::new(0);
    let judge_some = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(about) = DETECTORS.get(at) else { break };
            judge_one(at, about, world, &verdicts);
        }
    };
    thread::scope(|scope| {
        for _ in 1..threads.min(MOST) {
            scope.spawn(judge_some);
        }
        judge_some();
    });
    gather(verdicts)
}

/// Nobody waits for a detector that panicked.
struct Watch<'a>(&'a Verdict);

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        let _ = self.0.set(Told::default());
    }
}

fn judge_one(at: usize, about: &About, world: &World<'_>, verdicts: &[Verdict]) {
    let watch = Watch(&verdicts[at]);
    let mut findings = (about.judge)(&World { findings: Found::before(at, verdicts), ..*world });
    findings.sort_by(|a, b| b.severity.cmp(&a.severity).then_with(|| b.counts.cmp(&a.counts)));
    let left_out = findings.len().saturating_sub(MAX_FINDINGS);
    findings.truncate(MAX_FINDINGS);
    let _ = watch.0.set(Told { findings, left_out });
}

fn gather(verdicts: Vec<Verdict>) -> Judged {
    let told = verdicts.into_iter().map(|verdict| verdict.into_inner().unwrap_or_default());
    let mut judged = Judged { kept: Vec::new(), left_out: BTreeMap::new() };
    for (about, told) in DETECTORS.iter().zip(told) {
        judged.kept.extend(told.findings);
        if told.left_out > 0 {
            judged.left_out.insert(about.code, told.left_out);
        }
    }
    judged.kept.sort_by_key(|finding| Reverse(finding.severity));
    judged
}
