//! Running an analysis and keeping everything it says.

use kcap_analyze::finding::Finding;
use kcap_analyze::table::{Column, Rows, Sink, SinkError};
use kcap_analyze::{Options, Report, analyze};
use kcap_file::{Reader, Source};
use kcap_samples::file::Frame;
use kcap_samples::file::classic::{Classic, Flavour};
use std::collections::BTreeMap;
use std::io::Cursor;

/// One row, by column name.
pub(crate) type Line = BTreeMap<&'static str, String>;

/// A sink that keeps all rows as text.
#[derive(Default)]
pub(crate) struct Collected {
    pub(crate) tables: BTreeMap<&'static str, Vec<Line>>,
    /// Fails at the first write of this table.
    pub(crate) full: Option<&'static str>,
    /// Wants this table alone.
    pub(crate) only: Option<&'static str>,
}

impl Sink for Collected {
    fn wants(&self, table: &str) -> bool {
        self.only.is_none_or(|only| only == table)
    }

    fn write(&mut self, rows: &mut Rows) -> Result<(), SinkError> {
        let table = rows.spec.name;
        assert!(rows.len > 0 && self.wants(table), "{} rows of {table} that nobody wants", rows.len);
        if self.full == Some(table) {
            return Err(SinkError { table, source: "the disk is full".into() });
        }
        self.tables.entry(table).or_default().extend(lines(rows));
        Ok(())
    }
}

impl Collected {
    pub(crate) fn rows(&self, table: &str) -> &[Line] {
        self.tables.get(table).map_or(&[], Vec::as_slice)
    }

    /// The values of a column, in order.
    pub(crate) fn column(&self, table: &str, column: &str) -> Vec<&str> {
        self.rows(table).iter().map(|row| row[column].as_str()).collect()
    }

    pub(crate) fn sum(&self, table: &str, column: &str) -> i64 {
        self.column(table, column).iter().map(|text| text.parse::<i64>().expect("a number")).sum()
    }
}

fn lines(rows: &mut Rows) -> Vec<Line> {
    let mut lines = vec![Line::new(); rows.len];
    for (spec, column) in rows.spec.columns.iter().zip(&rows.columns) {
        let texts = texts(column);
        assert_eq!(texts.len(), rows.len, "{}.{}", rows.spec.name, spec.name);
        for (line, text) in lines.iter_mut().zip(texts) {
            assert!(text.is_some() || spec.nullable, "{}.{} has no value", rows.spec.name, spec.name);
            line.insert(spec.name, text.unwrap_or_else(|| "null".to_owned()));
        }
    }
    lines
}

fn texts(column: &Column) -> Vec<Option<String>> {
    fn values<T: ToString>(values: &[T], nulls: &[u32]) -> Vec<Option<String>> {
        let text = |(row, value): (usize, &T)| nulls.binary_search(&(row as u32)).is_err().then(|| value.to_string());
        values.iter().enumerate().map(text).collect()
    }
    match column {
        Column::Int32(v) => values(v.values(), v.nulls()),
        Column::Int64(v) | Column::Time(v) => values(v.values(), v.nulls()),
        Column::Float64(v) => values(v.values(), v.nulls()),
        Column::Bool(v) => values(v.values(), v.nulls()),
        Column::Addr(v) => values(v.values(), v.nulls()),
        Column::Text(v) => v.iter().map(|text| text.map(str::to_owned)).collect(),
        Column::Label(v) => v.iter().map(|text| text.map(str::to_owned)).collect(),
    }
}

/// What an analysis came to.
pub(crate) struct Outcome {
    pub(crate) report: Report,
    pub(crate) rows: Collected,
}

impl Outcome {
    /// Report and rows as text, to compare.
    pub(crate) fn text(&self) -> (String, String) {
        (serde_json::to_string(&self.report).expect("the report is JSON"), format!("{:?}", self.rows.tables))
    }

    pub(crate) fn codes(&self) -> Vec<&'static str> {
        self.report.findings.iter().map(|finding| finding.code).collect()
    }

    pub(crate) fn finding(&self, code: &str) -> &Finding {
        let found = self.report.findings.iter().find(|finding| finding.code == code);
        found.unwrap_or_else(|| panic!("no {code} among {:?}; flows: {:?}", self.codes(), self.rows.rows("flows")))
    }
}

pub(crate) fn run(source: Box<dyn Source>, options: Options) -> Outcome {
    let mut rows = Collected::default();
    let report = analyze(source, options, &mut rows).expect("the sink takes everything");
    Outcome { report, rows }
}

pub(crate) fn source(file: Vec<u8>) -> Box<dyn Source> {
    Box::new(Reader::from_read(Box::new(Cursor::new(file)), "built").expect("the file is a capture"))
}

/// Frames as a file: nanoseconds, in order of time.
pub(crate) fn file(link: u32, mut frames: Vec<Frame>) -> Vec<u8> {
    frames.sort_by_key(|frame| frame.ts_ns);
    Classic { flavour: Flavour::Nanos, ..Classic::new(link) }.file(&frames)
}

/// Analyses Ethernet frames as they come by default.
pub(crate) fn analyzed(frames: Vec<Frame>) -> Outcome {
    run(source(file(1, frames)), Options::default())
}
