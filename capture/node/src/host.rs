//! The host as the kernel names it.

use nix::sys::utsname::{UtsName, uname};
use std::ffi::OsStr;

fn text(field: fn(&UtsName) -> &OsStr) -> String {
    uname().map_or_else(|_| String::new(), |system| field(&system).to_string_lossy().into_owned())
}

/// Its name, which is the node's as a rule.
pub fn host_name() -> String {
    text(UtsName::nodename)
}

/// Release of its kernel.
pub(crate) fn kernel() -> String {
    text(UtsName::release)
}
