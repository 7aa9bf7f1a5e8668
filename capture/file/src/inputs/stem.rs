//! What the names of the parts of one rotated capture have in common.

const COMPRESSIONS: [&str; 3] = [".gz", ".zst", ".zstd"];
const EXTENSIONS: [&str; 6] = [".pcapng", ".pcap", ".ntar", ".dump", ".dmp", ".cap"];
/// Stands for a time in a stem.
const TIME: char = '*';

/// The file name without what rotation adds to it: the number behind the extension (`tcpdump -C`: `x.pcap`, `x.pcap1`),
/// times (`tcpdump -G`, `x_2026-01-01_12:00:00.pcap`), number and time (dumpcap: `x_00001_20260101120000.pcap`), time
/// and number (kcap: `x.20260101T120000Z.0001.pcapng`). Other numbers belong to the name: `node1.pcap` and `node2.pcap`
/// are captures of two nodes.
pub(super) fn stem(file_name: &str) -> String {
    let lower = file_name.to_ascii_lowercase();
    let name = COMPRESSIONS.iter().find_map(|end| lower.strip_suffix(end)).unwrap_or(&lower);
    let unnumbered = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let name = [unnumbered, name]
        .into_iter()
        .find_map(|name| EXTENSIONS.iter().find_map(|end| name.strip_suffix(end)))
        .unwrap_or(name);
    without_number(&without_times(name)).to_owned()
}

/// Every time is replaced by [`TIME`].
fn without_times(name: &str) -> String {
    let mut stem = String::new();
    let mut rest = name;
    while let Some(first) = rest.chars().next() {
        let after_digit = stem.ends_with(|c: char| c.is_ascii_digit());
        let after_letter = stem.ends_with(|c: char| c.is_ascii_alphabetic());
        let (replacement, len) = match time(rest, after_letter) {
            Some(len) if !after_digit => (TIME, len),
            _ => (first, first.len_utf8()),
        };
        stem.push(replacement);
        rest = rest.get(len..).unwrap_or_default();
    }
    stem
}

/// Removes the number of a part beside a time: `_00001` of dumpcap before it or behind it, `.0001` of kcap behind it.
fn without_number(stem: &str) -> &str {
    let number = |c: char| c.is_ascii_digit();
    if let Some(front) = stem.strip_suffix(TIME) {
        let front = front.strip_suffix('_').unwrap_or(front);
        let name = front.trim_end_matches(number);
        let digits = front.len() - name.len();
        return if digits == 5 { name.strip_suffix('_').unwrap_or(front) } else { front };
    }
    let name = stem.trim_end_matches(number);
    match name.strip_suffix(['_', '.', '-']).and_then(|name| name.strip_suffix(TIME)) {
        Some(name) if name.len() < stem.len() => name.strip_suffix(['_', '.', '-']).unwrap_or(name),
        _ => stem,
    }
}

/// Length of the time that `text` starts with: a date, with or without the time of day, or seconds since the epoch.
fn time(text: &str, after_letter: bool) -> Option<usize> {
    let bytes = text.as_bytes();
    let digits = bytes.iter().take_while(|b| b.is_ascii_digit()).count();
    if let Some((end, fields)) = date(bytes) {
        let whole = bytes.get(end).is_none_or(|b| !b.is_ascii_digit());
        // Eight digits behind a letter may be a number; fourteen hardly.
        if whole && (fields > 3 || !after_letter) {
            return Some(end + usize::from(fields > 3 && bytes.get(end) == Some(&b'z')));
        }
    }
    (digits == 10 && matches!(bytes.first(), Some(b'1' | b'2')) && !after_letter).then_some(digits)
}

/// Year, month, day, hour, minute, second as far as they go: where they end and how many there are, three at least.
fn date(bytes: &[u8]) -> Option<(usize, usize)> {
    const RANGES: [(usize, u32, u32); 6] =
        [(4, 1990, 2099), (2, 1, 12), (2, 1, 31), (2, 0, 23), (2, 0, 59), (2, 0, 60)];
    let mut at = 0;
    let mut end = (0, 0);
    for (count, (len, least, most)) in RANGES.into_iter().enumerate() {
        let separated = count > 0 && matches!(bytes.get(at), Some(b'-' | b'_' | b':' | b'.' | b'T' | b't'));
        let start = at + usize::from(separated);
        let digits = bytes.get(start..start + len).filter(|d| d.iter().all(u8::is_ascii_digit));
        let value = digits.map(|d| d.iter().fold(0, |sum, d| sum * 10 + u32::from(d - b'0')));
        if !value.is_some_and(|v| (least..=most).contains(&v)) {
            break;
        }
        at = start + len;
        // An hour alone is as likely something else.
        if count != 3 {
            end = (at, count + 1);
        }
    }
    (end.1 >= 3).then_some(end)
}

#[cfg(test)]
mod tests {
    use super::stem;

    #[test]
    fn parts_of_one_capture_share_a_stem() {
        for names in [
            &["x.pcap", "x.pcap1", "x.pcap2.gz", "x.pcap00", "X.pcap10.zst"][..],
            &["x_2026-01-01_12:00:00.pcap", "x_2026-01-01_12:05:00.pcap.gz"],
            &["x-20260101120000.pcap", "x-20260101120500.pcap", "x-20260101120500.pcap1"],
            &["x20260101120000.pcap", "x20260101120500.pcap"],
            &["x-1767225600.pcap", "x-1767225900.pcap"],
            &["x_00001_20260101120000.pcapng", "x_00002_20260101120500.pcapng"],
            &["x_20260101120000_00001.pcapng", "x_20260101120500_00002.pcapng"],
            &["web-0.20260101T120000Z.0001.pcapng", "web-0.20260101T120000Z.0002.pcapng.zst"],
        ] {
            let stems: Vec<_> = names.iter().map(|name| stem(name)).collect();
            assert!(stems.windows(2).all(|two| two[0] == two[1]), "{names:?}: {stems:?}");
        }
    }

    #[test]
    fn other_numbers_belong_to_the_name() {
        for (one, other) in [
            ("node1.pcap", "node2.pcap"),
            ("pod-0.pcap", "pod-1.pcap"),
            ("eth0", "eth1"),
            ("node1_00001_20260101120000.pcap", "node2_00001_20260101120000.pcap"),
            ("a.20260101T120000Z.0001.pcapng", "b.20260101T120000Z.0001.pcapng"),
            ("10.244.1.10.pcap", "10.244.1.11.pcap"),
            ("case20260101.pcap", "case20260102.pcap"),
            ("port-8080.pcap", "port-8081.pcap"),
        ] {
            assert_ne!(stem(one), stem(other));
        }
    }
}
