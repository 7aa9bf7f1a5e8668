//! Analyses captures without polars and without the program, which is what builds fastest while working on the engine:
//! the report as JSON, or the rows of one table as lines of JSON.
//!
//! `cargo run -p kcap-analyze --example report -- [--table NAME] [--compat] [--memory BYTES] [--threads N] FILE…`

#![allow(clippy::print_stdout, reason = "an example writes to standard output")]

use kcap_analyze::table::{Column, Rows, Sink, SinkError};
use kcap_analyze::{Compat, Directory, Options, analyze};
use serde_json::{Map, Value, json};
use std::error::Error;
use std::path::PathBuf;

/// Prints the rows of one table.
struct Printer {
    table: Option<String>,
}

impl Sink for Printer {
    fn wants(&self, table: &str) -> bool {
        self.table.as_deref() == Some(table)
    }

    fn write(&mut self, rows: &mut Rows) -> Result<(), SinkError> {
        let columns: Vec<Vec<Value>> = rows.columns.iter().map(values).collect();
        for row in 0..rows.len {
            let cell = |(at, spec): (usize, &kcap_analyze::table::ColumnSpec)| {
                (spec.name.to_owned(), columns[at].get(row).cloned().unwrap_or_default())
            };
            println!("{}", Value::Object(rows.spec.columns.iter().enumerate().map(cell).collect::<Map<_, _>>()));
        }
        Ok(())
    }
}

fn values(column: &Column) -> Vec<Value> {
    fn cells<T: ToString>(values: &[T], nulls: &[u32]) -> Vec<Value> {
        let cell = |(row, value): (usize, &T)| match nulls.binary_search(&(row as u32)) {
            Ok(_) => Value::Null,
            Err(_) => serde_json::from_str(&value.to_string()).unwrap_or_else(|_| json!(value.to_string())),
        };
        values.iter().enumerate().map(cell).collect()
    }
    match column {
        Column::Int32(v) => cells(v.values(), v.nulls()),
        Column::Int64(v) | Column::Time(v) => cells(v.values(), v.nulls()),
        Column::Float64(v) => cells(v.values(), v.nulls()),
        Column::Bool(v) => cells(v.values(), v.nulls()),
        Column::Addr(v) => cells(v.values(), v.nulls()),
        Column::Text(v) => v.iter().map(|text| text.map_or(Value::Null, |text| json!(text))).collect(),
        Column::Label(v) => v.iter().map(|text| text.map_or(Value::Null, |text| json!(text))).collect(),
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut options = Options::default();
    let mut sink = Printer { table: None };
    let mut files: Vec<PathBuf> = Vec::new();
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--table" => sink.table = args.next(),
            "--compat" => options.compat = Some(Compat::Wireshark40),
            "--memory" => options.memory = args.next().unwrap_or_default().parse()?,
            "--threads" => options.threads = args.next().unwrap_or_default().parse()?,
            "--kube-objects" => options.names = Directory::from_kube(&std::fs::read(args.next().unwrap_or_default())?)?,
            "--conntrack" => options.conntrack.read(&std::fs::read_to_string(args.next().unwrap_or_default())?),
            _ => files.push(arg.into()),
        }
    }
    let report = analyze(Box::new(kcap_file::Inputs::open(&files)), options, &mut sink)?;
    if sink.table.is_none() {
        println!("{}", serde_json::to_string_pretty(&report)?);
    }
    Ok(())
}
