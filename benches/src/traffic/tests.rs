use super::*;

fn generated(mix: Mix, format: Format, seed: u64) -> (Vec<u8>, Truth) {
    let mut bytes = Vec::new();
    let truth = generate(Request { mix, size: 3_000_000, seed, format }, &mut bytes).unwrap();
    (bytes, truth)
}

fn frames(file: &[u8]) -> Vec<(u64, &[u8])> {
    let word = |at: usize| u64::from(u32::from_le_bytes(file[at..at + 4].try_into().unwrap()));
    let (mut at, mut frames) = (24, Vec::new());
    while at < file.len() {
        let len = word(at + 8) as usize;
        frames.push((word(at) * 1_000_000 + word(at + 4), &file[at + 16..at + 16 + len]));
        at += 16 + len;
    }
    frames
}

#[test]
fn one_seed_gives_one_file_and_another_seed_another() {
    let (a, b, c) = (generated(Mix::Mixed, Format::Pcap, 1), generated(Mix::Mixed, Format::Pcap, 1), 2);
    assert!(a.0 == b.0);
    assert!(a.0 != generated(Mix::Mixed, Format::Pcap, c).0);
}

#[test]
fn file_is_as_long_as_asked_and_in_time_order() {
    for mix in [Mix::Mixed, Mix::Dns, Mix::Small] {
        let (bytes, truth) = generated(mix, Format::Pcap, 1);
        assert_eq!(bytes.len() as u64, truth.file_bytes);
        assert!((2_998_000..=3_000_000).contains(&truth.file_bytes), "{mix:?} {}", truth.file_bytes);
        let frames = frames(&bytes);
        assert_eq!(frames.len() as u64, truth.packets);
        assert!(frames.is_sorted_by_key(|(time, _)| *time), "{mix:?}");
    }
}

#[test]
fn mixes_are_what_they_say() {
    let (_, mixed) = generated(Mix::Mixed, Format::Pcap, 1);
    let share = |part: u64| part as f64 / mixed.packets as f64;
    assert!((0.35..0.6).contains(&share(mixed.vxlan_frames)));
    assert!((0.04..0.2).contains(&share(mixed.dns_frames)));
    assert!(mixed.retransmits_original_seen > 10 && mixed.retransmits_original_unseen > 10 && mixed.reordered > 0);
    let (_, dns) = generated(Mix::Dns, Format::Pcap, 1);
    assert_eq!(dns.dns_frames, dns.packets);
    let (_, small) = generated(Mix::Small, Format::Pcap, 1);
    assert!((70..80).contains(&(small.file_bytes / small.packets - 16)));
}

#[test]
fn both_formats_hold_the_same_frames() {
    let classic = generated(Mix::Dns, Format::Pcap, 7).0;
    let blocks = generated(Mix::Dns, Format::Pcapng, 7).0;
    for (_, frame) in frames(&classic).iter().take(50) {
        assert!(blocks.windows(frame.len()).any(|window| window == *frame));
    }
}
