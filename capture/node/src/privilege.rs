//! Giving up what is no longer needed.

use crate::record::Destination;
use crate::session::Observer;
use caps::{CapSet, Capability, CapsHashSet};
use std::os::unix::fs::MetadataExt as _;

/// Gives up all capabilities of the calling thread, for good: what is open stays usable. What makes further files is
/// kept where they are another user's.
pub(crate) fn drop_all(output: &Destination, observer: &mut dyn Observer) {
    let kept: CapsHashSet = if is_foreign(output) {
        OF_FILES.into_iter().filter(|cap| is_held(*cap)).collect()
    } else {
        CapsHashSet::new()
    };
    for set in [CapSet::Ambient, CapSet::Inheritable] {
        // Kernels of before 4.3 have no ambient set.
        let _ = caps::clear(None, set);
    }
    for set in [CapSet::Effective, CapSet::Permitted] {
        if let Err(error) = caps::set(None, set, &kept) {
            observer.warn(&format!("cannot give up the {set:?} capabilities: {error}"));
        }
    }
    if let Err(error) = nix::sys::prctl::set_no_new_privs() {
        observer.warn(&format!("cannot refuse new privileges: {error}"));
    }
}

/// To write into a folder of the user behind sudo, and give the files to them.
const OF_FILES: [Capability; 3] = [Capability::CAP_CHOWN, Capability::CAP_DAC_OVERRIDE, Capability::CAP_FOWNER];

/// Whether files are made for another user than the process has.
fn is_foreign(output: &Destination) -> bool {
    let Some(folder) = output.folder() else { return false };
    let owner = std::fs::metadata(folder).map(|found| found.uid());
    std::env::var_os("SUDO_UID").is_some() || owner.ok() != Some(nix::unistd::geteuid().as_raw())
}

fn is_held(capability: Capability) -> bool {
    caps::has_cap(None, CapSet::Permitted, capability).unwrap_or(false)
}

/// Leaves the calling thread no capability, and makes it yield to all others: for what looks into packets beside a
/// capture.
pub fn give_up_privileges() {
    keep(&[]);
    yield_to_others();
}

/// As [`give_up_privileges`], but that files of other users can be read: those behind sudo own what is captured.
pub fn give_up_all_but_reading() {
    keep(&[Capability::CAP_DAC_READ_SEARCH]);
    yield_to_others();
}

fn yield_to_others() {
    // A thread that cannot be made to yield works as well.
    let _ = rustix::process::setpriority_process(None, LEAST_URGENT);
}

/// The highest of nice values. Linux takes them by the thread, and the calling one where none is named.
const LEAST_URGENT: i32 = 19;

/// To open namespaces and interfaces, and what is read of them before.
const OF_OPENING: [Capability; 5] = [
    Capability::CAP_SYS_ADMIN,
    Capability::CAP_NET_RAW,
    Capability::CAP_SYS_PTRACE,
    Capability::CAP_NET_ADMIN,
    Capability::CAP_DAC_READ_SEARCH,
];

/// Leaves the calling thread what opening further interfaces takes, as far as it has it, and nothing else.
pub(crate) fn keep_for_opening() {
    keep(&OF_OPENING);
}

/// Leaves the calling thread `CAP_NET_ADMIN`, if it has it, and nothing else.
pub(crate) fn keep_net_admin() {
    keep(&[Capability::CAP_NET_ADMIN]);
}

fn keep(wanted: &[Capability]) {
    let kept: CapsHashSet = wanted.iter().copied().filter(|cap| is_held(*cap)).collect();
    // A thread that cannot give up what it has is no worse off than before.
    for set in [CapSet::Effective, CapSet::Permitted] {
        let _ = caps::set(None, set, &kept);
    }
}
