//! Rows on their way to the sink.

use super::Names;
use crate::Packet;
use crate::rows;
use crate::table::{Row, Rows, Sink, SinkError};
use crate::track::FrameId;
use std::collections::BTreeMap;

/// One table's rows on their way out.
pub(crate) struct Output {
    pub(super) rows: Rows,
    /// Rows handed to the sink at a time.
    full: usize,
    pub(super) wanted: bool,
    pub(super) written: i64,
}

impl Output {
    pub(super) fn new<R: Row>(sink: &dyn Sink) -> Self {
        Self { rows: Rows::new(R::SPEC), full: R::SPEC.batch_rows(), wanted: sink.wants(R::SPEC.name), written: 0 }
    }

    /// Appends a row, made only when it is wanted.
    pub(crate) fn push<R: Row>(&mut self, row: impl FnOnce() -> R, sink: &mut dyn Sink) -> Result<(), SinkError> {
        self.written += 1;
        if !self.wanted {
            return Ok(());
        }
        self.rows.push(&row());
        if self.rows.len >= self.full { self.flush(sink) } else { Ok(()) }
    }

    /// Appends packets of a chunk.
    pub(super) fn packets(
        &mut self,
        mut packets: &[&Packet],
        first: FrameId,
        names: &Names,
        sink: &mut dyn Sink,
    ) -> Result<(), SinkError> {
        self.written += packets.len() as i64;
        while self.wanted && !packets.is_empty() {
            let (now, later) = packets.split_at(packets.len().min(self.full - self.rows.len));
            rows::packets(now, first, names, &mut self.rows);
            packets = later;
            if self.rows.len >= self.full {
                self.flush(sink)?;
            }
        }
        Ok(())
    }

    pub(super) fn flush(&mut self, sink: &mut dyn Sink) -> Result<(), SinkError> {
        if self.rows.len > 0 {
            sink.write(&mut self.rows)?;
            self.rows.clear();
        }
        Ok(())
    }
}

/// Writes tables that are complete only at the end.
pub(crate) struct Late<'a> {
    pub(crate) sink: &'a mut dyn Sink,
    /// Rows by table.
    pub(crate) counts: BTreeMap<&'static str, i64>,
}

impl Late<'_> {
    /// Writes a whole table.
    pub(crate) fn write<R: Row>(&mut self, rows: impl IntoIterator<Item = R>) -> Result<(), SinkError> {
        let mut output = Output::new::<R>(self.sink);
        for row in rows {
            output.push(|| row, self.sink)?;
        }
        self.counts.insert(R::SPEC.name, output.written);
        output.flush(self.sink)
    }
}
