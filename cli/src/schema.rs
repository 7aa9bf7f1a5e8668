//! `kcap schema`: what `analyze` writes, for programs and for people.

use crate::{
    args::{SchemaArgs, SchemaOf, TablesFormat},
    exit::{Exit, Failure},
    render::Page,
    stream::Streams,
};
use kcap_analyze::table::{ColumnSpec, ColumnType, SCHEMA_VERSION, TABLES, TableSpec};
use serde_json::{Value, json};
use std::fmt::Write as _;

pub(crate) fn run(args: &SchemaArgs, streams: &Streams) -> Result<Exit, Failure> {
    match &args.of {
        SchemaOf::Report => streams.print_plain(kcap_report::schema::REPORT.as_bytes())?,
        SchemaOf::Tables { output, tables } => {
            let tables = chosen(tables)?;
            match output {
                TablesFormat::Text => streams.print(text(&tables, streams.width()).as_bytes())?,
                TablesFormat::Md => streams.print_plain(markdown(&tables).as_bytes())?,
                TablesFormat::Json => streams.print_plain(format!("{:#}\n", describe(&tables)).as_bytes())?,
            }
        }
    }
    Ok(Exit::Done)
}

fn chosen(names: &[String]) -> Result<Vec<&'static TableSpec>, Failure> {
    if names.is_empty() {
        return Ok(TABLES.iter().collect());
    }
    names.iter().map(|name| table(name)).collect()
}

fn table(name: &str) -> Result<&'static TableSpec, Failure> {
    TABLES.iter().find(|table| table.name == name).ok_or_else(|| {
        let names: Vec<_> = TABLES.iter().map(|table| table.name).collect();
        Failure::usage(format!("schema tables {name}: no table has this name"))
            .hint(Some(format!("the tables are {}", names.join(", "))))
    })
}

/// Name of a type as users of the files know it.
fn type_name(ty: ColumnType) -> &'static str {
    match ty {
        ColumnType::Int32 => "int32",
        ColumnType::Int64 => "int64",
        ColumnType::Float64 => "double",
        ColumnType::Bool => "boolean",
        ColumnType::Text | ColumnType::Label | ColumnType::Addr => "string",
        ColumnType::Time => "timestamp[us, UTC]",
    }
}

fn type_text(column: &ColumnSpec) -> String {
    format!("{}{}", type_name(column.ty), if column.nullable { " or absent" } else { "" })
}

fn text(tables: &[&TableSpec], width: usize) -> String {
    let mut page = Page::new(width);
    for table in tables {
        page.heading(table.name);
        page.paragraph(2, table.doc.trim());
        for column in table.columns {
            page.entry(20, column.name, &format!("{} ({})", column.doc.trim(), type_text(column)));
        }
    }
    page.into_text()
}

fn markdown(tables: &[&TableSpec]) -> String {
    let mut out = String::new();
    for table in tables {
        let _ =
            write!(out, "## {}\n\n{}\n\n| column | type | meaning |\n|---|---|---|\n", table.name, table.doc.trim());
        for column in table.columns {
            let doc = column.doc.trim().replace('|', "\\|");
            let _ = writeln!(out, "| `{}` | {} | {doc} |", column.name, type_text(column));
        }
        out.push('\n');
    }
    out
}

fn describe(tables: &[&TableSpec]) -> Value {
    let tables: Vec<_> = tables
        .iter()
        .map(|table| {
            let columns: Vec<_> = table.columns.iter().map(describe_column).collect();
            json!({"name": table.name, "doc": table.doc.trim(), "columns": columns})
        })
        .collect();
    json!({"schema": format!("kcap.tables/{SCHEMA_VERSION}"), "tables": tables})
}

fn describe_column(column: &ColumnSpec) -> Value {
    json!({
        "name": column.name,
        "type": type_name(column.ty),
        "nullable": column.nullable,
        "doc": column.doc.trim(),
    })
}
