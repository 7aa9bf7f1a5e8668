//! What filters leave out of captures is nobody's fault.

use crate::support::analyzed;
use crate::traffic::{S, Talk, ip, pod};
use kcap_analyze::finding::Severity;
use kcap_samples::file::Frame;

/// Ethernet and IPv4 headers, and where TCP has its flags.
const FLAGS: usize = 14 + 20 + 13;
const SYN_FIN_RST: u8 = 0b111;

fn connections() -> Vec<Frame> {
    let talk = |n: u16| Talk::new((pod(n as u8), 40_000 + n), (ip(10, 96, 0, 7), 80));
    (1..20).flat_map(|n| talk(n).whole(u64::from(n) * S)).collect()
}

#[test]
fn a_filter_of_flags_loses_nothing() {
    let mut frames = connections();
    frames.retain(|frame| frame.data[FLAGS] & SYN_FIN_RST != 0);
    let outcome = analyzed(frames);
    let finding = outcome.finding("CAP001");
    assert_eq!(finding.severity, Severity::Info);
    assert!(!finding.title.contains('%'), "{}", finding.title);
    // Half of the data is no filter's doing.
    let mut at = 0;
    let mut frames = connections();
    frames.retain(|frame| {
        at += usize::from(frame.data.len() > 1000);
        frame.data.len() < 1000 || at % 2 == 0
    });
    assert_eq!(analyzed(frames).finding("CAP001").severity, Severity::Warning);
}
