//! What we say of them: the table, as the program would write it.

use kcap_analyze::table::{Column, Rows, Sink, SinkError};
use kcap_analyze::{Compat, Options, analyze};
use kcap_file::Inputs;
use std::collections::BTreeMap;
use std::path::Path;

/// Names of the flags by frame.
#[derive(Default)]
struct Flagged(BTreeMap<u64, String>);

impl Sink for Flagged {
    fn wants(&self, table: &str) -> bool {
        table == "tcp_compat"
    }

    fn write(&mut self, rows: &mut Rows) -> Result<(), SinkError> {
        let column = |name: &str| {
            let at = rows.spec.columns.iter().position(|column| column.name == name).expect("a column");
            &rows.columns[at]
        };
        let (Column::Int64(frames), Column::Label(flags)) = (column("frame"), column("flags")) else {
            panic!("other types");
        };
        let flags = flags.iter().map(|flags| flags.expect("a value").to_owned());
        self.0.extend(frames.values().iter().map(|frame| *frame as u64).zip(flags));
        Ok(())
    }
}

/// Flags of each frame that has some.
pub(crate) fn flags(file: &Path) -> BTreeMap<u64, String> {
    let mut flagged = Flagged::default();
    let options = Options { compat: Some(Compat::Wireshark40), ..Options::default() };
    let report = analyze(Box::new(Inputs::open([file])), options, &mut flagged).expect("the sink takes everything");
    assert!(report.limits_hit.iter().all(|limit| !limit.contains("--compat")), "{}", file.display());
    flagged.0
}
