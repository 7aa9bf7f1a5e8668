//! After a write that failed in the middle of a block.

use std::fs::OpenOptions;
use std::io::{self, BufReader, Read as _};
use std::path::Path;

const ENHANCED_PACKET: u32 = 6;

/// Cuts the capture behind its last whole block. Answers the packets left in it.
pub(super) fn cut(path: &Path) -> io::Result<u64> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let length = file.metadata()?.len();
    let mut reader = BufReader::with_capacity(1 << 20, &file);
    let (mut good, mut packets) = (0, 0);
    let mut header = [0; 8];
    while reader.read_exact(&mut header).is_ok() {
        let [kind, block_len] = [&header[..4], &header[4..]].map(|word| {
            let mut bytes = [0; 4];
            bytes.copy_from_slice(word);
            u32::from_le_bytes(bytes)
        });
        let end = good + u64::from(block_len);
        if block_len < 12 || end > length {
            break;
        }
        reader.seek_relative(i64::from(block_len) - 8)?;
        good = end;
        packets += u64::from(kind == ENHANCED_PACKET);
    }
    file.set_len(good)?;
    Ok(packets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kcap_file::{Interface, LinkType, Packet, Reader, Section, Writer};

    #[test]
    fn a_torn_block_is_cut_off() {
        let mut writer = Writer::new(Vec::new(), &Section::default()).unwrap();
        let interface = Interface { link_type: LinkType::ETHERNET, ..Interface::default() };
        let index = writer.interface(&interface).unwrap();
        for _ in 0..3 {
            writer.packet(&Packet { interface: index, data: &[7; 60], orig_len: 60, ..Packet::default() }).unwrap();
        }
        let whole = writer.finish().unwrap();
        for (len, packets) in [(whole.len(), 3), (whole.len() - 1, 2), (whole.len() - 93, 1), (30, 0)] {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), &whole[..len]).unwrap();
            assert_eq!(cut(file.path()).unwrap(), packets);
            let bytes = std::fs::read(file.path()).unwrap();
            let mut reader = Reader::from_read(Box::new(io::Cursor::new(bytes)), "cut").unwrap();
            let mut read = 0;
            let mut batch = kcap_file::Batch::default();
            while reader.next_batch(&mut batch) {
                read += batch.records.len() as u64;
            }
            assert_eq!(read, packets);
            assert!(reader.info().problems.is_empty());
        }
    }
}
