//! tshark, which knows the answer.

use std::path::Path;
use std::process::Command;

/// Whether tshark is there; says so aloud when it is not.
pub(crate) fn is_installed() -> bool {
    let found = Command::new("tshark").arg("--version").output().is_ok();
    if !found {
        println!("skipped: tshark is not installed");
    }
    found
}

/// The fields of each frame of a file, one line a frame, fields separated by tabs and their occurrences by commas;
/// `None` when tshark cannot read the file.
pub(crate) fn fields<'f>(file: &Path, options: &[&str], fields: impl IntoIterator<Item = &'f str>) -> Option<String> {
    let mut command = Command::new("tshark");
    command.args(["-n", "-d", "udp.port==8472,vxlan"]).args(options);
    command.arg("-r").arg(file).args(["-T", "fields", "-E", "occurrence=a", "-E", "aggregator=,"]);
    for field in fields {
        command.args(["-e", field]);
    }
    let output = command.output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (!text.is_empty() || output.status.success()).then_some(text)
}
