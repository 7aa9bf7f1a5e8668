//! What we say of them: the table, as the program would write it.

use kcap_analyze::table::{Column, Rows, Sink, SinkError};
use kcap_analyze::{Options, analyze};
use kcap_file::Inputs;
use std::path::Path;

/// A transaction.
#[derive(Clone, Debug)]
pub(crate) struct Transaction {
    pub(crate) first_frame: u64,
    pub(crate) answer_frame: Option<u64>,
    pub(crate) id: i64,
    pub(crate) name: String,
    pub(crate) name_cut: bool,
    pub(crate) answer_cut: bool,
    pub(crate) attempts: i64,
    /// Answers, those that came again or late among them.
    pub(crate) answers: i64,
    /// From the first attempt to the answer, and from the last one before it, nanoseconds.
    pub(crate) took_ns: Vec<i64>,
    pub(crate) tcp: bool,
    pub(crate) legs: i64,
}

#[derive(Default)]
struct Table(Vec<Transaction>);

fn integers(column: &Column) -> Vec<Option<i64>> {
    fn all<T: Copy + Into<i64>>(values: &[T], nulls: &[u32]) -> Vec<Option<i64>> {
        let is_null = |row: usize| nulls.binary_search(&(row as u32)).is_ok();
        values.iter().enumerate().map(|(row, value)| (!is_null(row)).then(|| (*value).into())).collect()
    }
    match column {
        Column::Int32(column) => all(column.values(), column.nulls()),
        Column::Int64(column) => all(column.values(), column.nulls()),
        Column::Float64(column) => {
            let is_null = |row: usize| column.nulls().binary_search(&(row as u32)).is_ok();
            let nanos = |micros: &f64| (micros * 1000.0).round() as i64;
            column.values().iter().enumerate().map(|(row, value)| (!is_null(row)).then(|| nanos(value))).collect()
        }
        Column::Bool(column) => column.values().iter().map(|value| Some(i64::from(*value))).collect(),
        _ => panic!("no number"),
    }
}

fn texts(column: &Column) -> Vec<String> {
    match column {
        Column::Text(column) => column.iter().map(|text| text.unwrap_or_default().to_owned()).collect(),
        Column::Label(column) => column.iter().map(|text| text.unwrap_or_default().to_owned()).collect(),
        _ => panic!("no text"),
    }
}

impl Sink for Table {
    fn wants(&self, table: &str) -> bool {
        table == "dns_transactions"
    }

    fn write(&mut self, rows: &mut Rows) -> Result<(), SinkError> {
        let column = |name: &str| {
            let at = rows.spec.columns.iter().position(|column| column.name == name).expect("a column");
            &rows.columns[at]
        };
        let number = |name: &str| integers(column(name));
        let (first, answer, id, cut) =
            (number("first_frame"), number("answer_frame"), number("dns_id"), number("qname_cut"));
        let (attempts, answers, legs) = (number("attempts"), number("answers"), number("legs"));
        let (duplicates, rtt, last) = (number("duplicates"), number("rtt_us"), number("rtt_last_us"));
        let answer_cut = number("answer_cut");
        let (names, transports) = (texts(column("qname")), texts(column("transport")));
        for row in 0..rows.len {
            self.0.push(Transaction {
                first_frame: first[row].unwrap_or_default() as u64,
                answer_frame: answer[row].map(|frame| frame as u64),
                id: id[row].unwrap_or_default(),
                name: names[row].clone(),
                name_cut: cut[row] == Some(1),
                answer_cut: answer_cut[row] == Some(1),
                attempts: attempts[row].unwrap_or_default(),
                answers: answers[row].unwrap_or_default() + duplicates[row].unwrap_or_default(),
                took_ns: rtt[row].into_iter().chain(last[row]).collect(),
                tcp: transports[row] == "tcp",
                legs: legs[row].unwrap_or_default(),
            });
        }
        Ok(())
    }
}

/// Transactions of a file.
pub(crate) fn transactions(file: &Path) -> Vec<Transaction> {
    let mut table = Table::default();
    analyze(Box::new(Inputs::open([file])), Options::default(), &mut table).expect("the sink takes everything");
    table.0
}
