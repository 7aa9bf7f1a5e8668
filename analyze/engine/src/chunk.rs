use crate::Packet;
use kcap_file::Batch;

/// A batch of frames and what decoding added to its bytes. Offsets in packets point into it.
#[derive(Debug, Default)]
pub struct Chunk {
    /// The frames as read.
    pub batch: Batch,
    /// Payloads put together from fragments; offsets from [`Chunk::EXTRA`] on point here.
    pub extra: Vec<u8>,
}

impl Chunk {
    /// First offset of `extra`: no batch is as long as this.
    pub const EXTRA: u32 = 1 << 31;

    /// `len` bytes at `offset`, fewer when there are fewer.
    pub fn bytes(&self, offset: u32, len: u32) -> &[u8] {
        let (data, start) =
            if offset >= Self::EXTRA { (&self.extra, offset - Self::EXTRA) } else { (&self.batch.data, offset) };
        let data = data.get(start as usize..).unwrap_or_default();
        &data[..data.len().min(len as usize)]
    }

    /// What was captured of a packet's transport payload.
    pub fn payload(&self, packet: &Packet) -> &[u8] {
        self.bytes(packet.payload_offset(), packet.payload_caplen())
    }
}
