//! Texts that are given beside captures: conntrack listings and Kubernetes objects.
#![no_main]

use kcap_analyze::{Conntrack, Directory};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    Conntrack::default().read(&String::from_utf8_lossy(bytes));
    let _ = Directory::from_kube(bytes);
});
