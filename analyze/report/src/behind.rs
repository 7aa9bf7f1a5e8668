use kcap_analyze::table::{Rows, Sink, SinkError, TABLES};
use std::{
    sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel},
    thread,
};

/// Batches that wait for the thread, beside the one it writes and the next, which is being filled: more would only take
/// memory.
const WAITING: usize = 0;

/// Does `work` with a sink whose rows a thread of its own writes to `sink`, while the next ones are made.
///
/// # Errors
/// What `sink` could not write, which `work` hears of with one of the next batches, or what `work` failed of.
pub fn behind<T>(
    sink: &mut (dyn Sink + Send),
    work: impl FnOnce(&mut dyn Sink) -> Result<T, SinkError>,
) -> Result<T, SinkError> {
    let wanted = TABLES.iter().map(|table| table.name).filter(|name| sink.wants(name)).collect();
    let (full, batches) = sync_channel(WAITING);
    let (emptied, spent) = channel();
    thread::scope(|scope| {
        let writer = scope.spawn(move || write_all(sink, &batches, &emptied));
        let done = work(&mut Behind { wanted, full, spent });
        writer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        done
    })
}

fn write_all(sink: &mut dyn Sink, batches: &Receiver<Rows>, emptied: &Sender<Rows>) -> Result<(), SinkError> {
    for mut rows in batches {
        sink.write(&mut rows)?;
        rows.clear();
        let _ = emptied.send(rows);
    }
    Ok(())
}

struct Behind {
    wanted: Vec<&'static str>,
    full: SyncSender<Rows>,
    /// Batches that were written, whose memory serves again.
    spent: Receiver<Rows>,
}

impl Behind {
    /// A batch without rows; those of other tables are let go of, so that few are held.
    fn empty(&self, like: &Rows) -> Rows {
        let mut spent = self.spent.try_iter();
        spent.find(|rows| rows.spec.name == like.spec.name).unwrap_or_else(|| Rows::new(like.spec))
    }
}

impl Sink for Behind {
    fn wants(&self, table: &str) -> bool {
        self.wanted.contains(&table)
    }

    fn write(&mut self, rows: &mut Rows) -> Result<(), SinkError> {
        let table = rows.spec.name;
        let full = std::mem::replace(rows, self.empty(rows));
        // The thread has ended with an error, which is told in place of this one.
        self.full.send(full).map_err(|ended| SinkError { table, source: ended.to_string().into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kcap_analyze::table::TableSpec;

    /// Takes so many batches of the tables it wants.
    struct Limited {
        left: usize,
        seen: Vec<(&'static str, usize)>,
    }

    impl Sink for Limited {
        fn wants(&self, table: &str) -> bool {
            table != "packets"
        }

        fn write(&mut self, rows: &mut Rows) -> Result<(), SinkError> {
            let table = rows.spec.name;
            self.left = self.left.checked_sub(1).ok_or(SinkError { table, source: "the disk is full".into() })?;
            self.seen.push((table, rows.len));
            Ok(())
        }
    }

    fn batch(spec: TableSpec, len: usize) -> Rows {
        Rows { len, ..Rows::new(spec) }
    }

    #[test]
    fn batches_arrive_in_order_and_come_back_empty() {
        let mut sink = Limited { left: 100, seen: Vec::new() };
        let done = behind(&mut sink, |sink| {
            assert!(sink.wants("flows") && !sink.wants("packets"));
            for len in 1..=50 {
                let mut rows = batch(TABLES[len % 3], len);
                sink.write(&mut rows)?;
                assert_eq!((rows.spec.name, rows.len), (TABLES[len % 3].name, 0));
            }
            Ok("done")
        });
        assert_eq!(done.expect("all fit"), "done");
        assert_eq!(sink.seen, (1..=50).map(|len| (TABLES[len % 3].name, len)).collect::<Vec<_>>());
    }

    #[test]
    fn the_writers_error_is_told_and_stops_the_work() {
        let mut sink = Limited { left: 2, seen: Vec::new() };
        let mut handed_on = 0;
        let failed = behind(&mut sink, |sink| {
            loop {
                sink.write(&mut batch(TABLES[0], 1))?;
                handed_on += 1;
            }
            #[expect(unreachable_code, reason = "tells the type of what is never reached")]
            Ok(())
        });
        assert_eq!(failed.expect_err("full").to_string(), format!("write table {}: the disk is full", TABLES[0].name));
        assert!(handed_on <= 2 + 1 + WAITING, "{handed_on} batches were taken for a writer that ended");
    }

    #[test]
    fn an_error_after_the_last_batch_is_told() {
        let mut sink = Limited { left: 0, seen: Vec::new() };
        let failed = behind(&mut sink, |sink| sink.write(&mut batch(TABLES[0], 1)));
        assert!(failed.expect_err("full").to_string().contains("the disk is full"));
    }
}
