//! Capture files as they are: pcap, pcapng, compressed, torn. Seeds: the bundled samples.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| kcap_fuzz::analyze_file(bytes));
