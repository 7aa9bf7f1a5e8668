use super::*;
use kcap_file::{Interface, LinkType, Packet, Section, Writer};

/// A part of that many packets.
fn part(packets: u32) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), &Section::default()).unwrap();
    let interface = Interface { link_type: LinkType::ETHERNET, ..Interface::default() };
    let index = writer.interface(&interface).unwrap();
    for _ in 0..packets {
        let packet = Packet { interface: index, ts_ns: 1, data: &[7; 60], orig_len: 60, ..Packet::default() };
        writer.packet(&packet).unwrap();
    }
    writer.finish().unwrap()
}

/// Name and packets of each part, and the units they are of.
fn read(mut fed: Fed) -> (Vec<(String, u64)>, Vec<u32>) {
    let (mut batch, mut units) = (Batch::default(), Vec::new());
    while fed.next_batch(&mut batch) {
        units.push(batch.unit);
    }
    units.dedup();
    (fed.captures().iter().map(|info| (info.name.clone(), info.packets)).collect(), units)
}

#[test]
fn parts_are_one_capture() {
    let (feed, reader) = feed();
    for (name, packets) in [("a.0001", 3), ("a.0002", 5)] {
        feed.part(Path::new(name));
        for bytes in part(packets).chunks(50) {
            feed.bytes(bytes);
        }
    }
    let level = Arc::clone(&feed.level);
    drop(feed);
    assert_eq!(read(reader), (vec![("a.0001".to_owned(), 3), ("a.0002".to_owned(), 5)], vec![0]));
    assert_eq!(level.waiting.load(Ordering::Relaxed), 0);
}

#[test]
fn what_is_not_read_in_time_ends_the_feed_and_nothing_else() {
    let (whole, packets) = (part(100), 10);
    let room = part(packets).len();
    let (feed, reader) = with_room(room);
    feed.part(Path::new("-"));
    for bytes in whole.chunks(room) {
        feed.bytes(bytes);
    }
    assert!(feed.level.waiting.load(Ordering::Relaxed) <= room);
    assert!(feed.is_over());
    // Not even when the capture, and with it the feed, goes on.
    assert_eq!(read(reader), (vec![("-".to_owned(), u64::from(packets))], vec![0]));
    feed.bytes(&whole);
}

#[test]
fn nobody_has_to_read() {
    let (feed, reader) = feed();
    drop(reader);
    feed.part(Path::new("-"));
    feed.bytes(&part(1));
}

#[test]
fn parts_are_bounded() {
    let (feed, _reader) = feed();
    for _ in 0..=MAX_PARTS {
        feed.part(Path::new("x"));
    }
    assert!(feed.is_over());
}
