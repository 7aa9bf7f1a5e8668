//! Giving up what is no longer needed.

use crate::session::Observer;
use caps::{CapSet, Capability, CapsHashSet};

/// Gives up all capabilities, for good: what is open stays usable.
pub(crate) fn drop_all(observer: &mut dyn Observer) {
    let sets = [CapSet::Ambient, CapSet::Effective, CapSet::Permitted, CapSet::Inheritable];
    for set in sets {
        if let Err(error) = caps::clear(None, set) {
            observer.warn(&format!("cannot give up the {set:?} capabilities: {error}"));
        }
    }
    if let Err(error) = nix::sys::prctl::set_no_new_privs() {
        observer.warn(&format!("cannot refuse new privileges: {error}"));
    }
}

/// Leaves the calling thread CAP_NET_ADMIN, if it has it, and nothing else.
pub(crate) fn keep_net_admin() {
    let held = caps::has_cap(None, CapSet::Permitted, Capability::CAP_NET_ADMIN).unwrap_or(false);
    let kept: CapsHashSet = held.then_some(Capability::CAP_NET_ADMIN).into_iter().collect();
    // A thread that cannot give up what it has is no worse off than before.
    for set in [CapSet::Effective, CapSet::Permitted] {
        let _ = caps::set(None, set, &kept);
    }
}
