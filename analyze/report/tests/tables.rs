//! Tables written and read back, by polars and (where Python has them) by DuckDB and pyarrow.
#![allow(clippy::expect_used, clippy::print_stderr, reason = "tests fail by panicking and say what they skip")]

use kcap_analyze::{
    Addr,
    table::{Cell, Column, ColumnSpec, Label, Row, Rows, Sink, TableSpec, Time},
};
use kcap_report::{FORMATS, Format, Layout, TableDir, TableError};
use polars::prelude::{
    AnyValue, CsvReadOptions, DataFrame, IpcReader, JsonFormat, JsonReader, ParquetReader, SerReader,
};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

macro_rules! table {
    ($spec:ident, $name:literal, $row:ident { $($field:ident: $ty:ty),+ $(,)? }) => {
        #[derive(Default)]
        #[allow(dead_code, reason = "a table may stay without rows")]
        struct $row { $($field: $ty),+ }

        const $spec: TableSpec = TableSpec {
            name: $name,
            doc: "",
            columns: &[$(ColumnSpec {
                name: stringify!($field), ty: <$ty as Cell>::TYPE, nullable: <$ty as Cell>::NULLABLE, doc: "",
            }),+],
        };

        impl Row for $row {
            const SPEC: TableSpec = $spec;

            fn push(&self, columns: &mut [Column]) {
                let mut columns = columns.iter_mut();
                $(if let Some(column) = columns.next() { self.$field.push(column); })+
            }
        }
    };
}

table!(ALL, "all", All {
    capture: Label,
    ts_ns: i64,
    ts: Time,
    address: Option<Addr>,
    port: Option<i32>,
    seq: Option<i64>,
    rtt_ms: Option<f64>,
    snapped: bool,
    closed: Option<bool>,
    name: Option<String>,
    state: Option<Label>,
});

table!(NONE, "none", Nothing { capture: Label, packets: i64, ts: Option<Time>, ok: bool, ratio: f64 });

const TABLES: &[TableSpec] = &[ALL, NONE];

/// More than two row groups.
const ROWS: i64 = 300_000;

const HOSTILE: &str = "=HYPERLINK(\"http://x\"),\n\u{1f984}";

fn row(index: i64) -> All {
    let some = |every: i64| index % every != 0;
    let ts_ns = 1_700_000_000_000_000_000 + index * 1_234_567;
    All {
        capture: "a.pcap".into(),
        ts_ns,
        ts: Time(ts_ns),
        address: some(7).then(|| Addr::v4([10, 0, (index >> 8) as u8, index as u8])),
        port: some(3).then_some((index % 65536) as i32),
        // Scattered over 32 bits, as sequence numbers are.
        seq: some(5).then_some(index.wrapping_mul(2_654_435_761) & 0xffff_ffff),
        rtt_ms: some(4).then_some(index as f64 / 8.0),
        snapped: index % 2 == 0,
        closed: some(2).then_some(index % 3 == 0),
        name: some(9).then(|| if index == 10 { HOSTILE.into() } else { format!("name-{index}.example") }),
        state: some(11).then(|| if index % 2 == 0 { "SF".into() } else { "S0".into() }),
    }
}

fn folder(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&path);
    path
}

fn layout(format: &'static Format) -> Layout {
    Layout { format, tables: TABLES, without: Vec::new(), overwrite: false }
}

/// Writes the rows in batches of `batch`.
fn write(dir: &Path, format: &'static Format, batch: i64) -> Vec<PathBuf> {
    let mut tables = TableDir::create(dir, layout(format)).expect("a new folder");
    let mut rows = Rows::new(ALL);
    for index in 0..ROWS {
        rows.push(&row(index));
        if index % batch == batch - 1 {
            tables.write(&mut rows).expect("space on the disk");
            rows.clear();
        }
    }
    tables.write(&mut rows).expect("space on the disk");
    tables.finish().expect("space on the disk")
}

fn read(path: &Path) -> DataFrame {
    let file = File::open(path).expect("written");
    match path.extension().and_then(|suffix| suffix.to_str()) {
        Some("parquet") => ParquetReader::new(file).finish(),
        Some("arrow") => IpcReader::new(file).finish(),
        Some("csv") => {
            CsvReadOptions::default().with_infer_schema_length(Some(1000)).into_reader_with_file_handle(file).finish()
        }
        _ => JsonReader::new(file).with_json_format(JsonFormat::JsonLines).finish(),
    }
    .expect("readable")
}

fn types(frame: &DataFrame) -> Vec<String> {
    frame.columns().iter().map(|column| column.dtype().to_string()).collect()
}

fn cell(frame: &DataFrame, column: &str, row: i64) -> String {
    let value = frame.column(column).and_then(|column| column.get(row as usize).map(AnyValue::into_static));
    value.expect("a cell").str_value().into_owned()
}

#[test]
fn typed_formats_keep_types_values_and_nulls() {
    for name in ["parquet", "arrow"] {
        let format = Format::find(name).expect("registered");
        let files = write(&folder(&format!("typed-{name}")), format, 10_000);
        let frame = read(&files[0]);
        let time = "datetime[μs, UTC]";
        let expected = ["str", "i64", time, "str", "i32", "i64", "f64", "bool", "bool", "str", "str"];
        assert_eq!(types(&frame), expected, "{name}");
        assert_eq!(frame.height() as i64, ROWS);
        for index in [0, 1, 10, 65_535, 65_536, 190_649, 190_650, 299_999] {
            let row = row(index);
            let text = |value: Option<String>| value.unwrap_or_else(|| "null".into());
            assert_eq!(cell(&frame, "ts_ns", index), row.ts_ns.to_string());
            assert_eq!(cell(&frame, "address", index), text(row.address.map(|addr| addr.to_string())));
            assert_eq!(cell(&frame, "port", index), text(row.port.map(|port| port.to_string())));
            assert_eq!(cell(&frame, "seq", index), text(row.seq.map(|seq| seq.to_string())));
            assert_eq!(cell(&frame, "closed", index), text(row.closed.map(|closed| closed.to_string())));
            assert_eq!(cell(&frame, "name", index), text(row.name));
            assert_eq!(cell(&frame, "state", index), text(row.state.map(|state| state.as_str().to_owned())));
        }
        let sum = |frame: &DataFrame, column: &str| {
            frame.column(column).expect("a column").i64().expect("i64").iter().flatten().map(i128::from).sum::<i128>()
        };
        assert_eq!(sum(&frame, "seq"), (0..ROWS).filter_map(|index| row(index).seq).map(i128::from).sum::<i128>());
        assert_eq!(sum(&frame, "ts_ns"), (0..ROWS).map(|index| i128::from(row(index).ts_ns)).sum::<i128>());
    }
}

#[test]
fn text_formats_have_rfc3339_times_and_csv_no_formulas() {
    for name in ["csv", "ndjson"] {
        let format = Format::find(name).expect("registered");
        let files = write(&folder(&format!("text-{name}")), format, 10_000);
        let frame = read(&files[0]);
        assert_eq!(frame.height() as i64, ROWS, "{name}");
        assert_eq!(cell(&frame, "ts", 1), "2023-11-14T22:13:20.001234Z");
        let hostile = if name == "csv" { format!("'{HOSTILE}") } else { HOSTILE.into() };
        assert_eq!(cell(&frame, "name", 10), hostile);
        assert_eq!(cell(&frame, "name", 0), "null");
    }
}

#[test]
fn files_do_not_depend_on_how_rows_came() {
    for format in FORMATS {
        let files = [10_000, 7777, 250_000].map(|batch| {
            let dir = folder(&format!("batches-{}-{batch}", format.name));
            fs::read(&write(&dir, format, batch)[0]).expect("written")
        });
        assert!(files.iter().all(|file| *file == files[0]), "{}", format.name);
    }
}

#[test]
fn a_table_without_rows_has_its_columns() {
    for name in ["parquet", "arrow"] {
        let format = Format::find(name).expect("registered");
        let files = write(&folder(&format!("empty-{name}")), format, 100_000);
        let frame = read(&files[1]);
        assert_eq!(
            (frame.height(), types(&frame)),
            (0, ["str", "i64", "datetime[μs, UTC]", "bool", "f64"].map(String::from).to_vec())
        );
    }
    let files = write(&folder("empty-csv"), Format::find("csv").expect("registered"), 100_000);
    assert_eq!(fs::read_to_string(&files[1]).expect("written"), "capture,packets,ts,ok,ratio\n");
}

#[test]
fn a_folder_with_something_in_it_is_left_alone() {
    let dir = folder("taken");
    fs::create_dir_all(&dir).expect("make a folder");
    fs::write(dir.join("notes.txt"), "mine").expect("write a file");
    let error = TableDir::create(&dir, layout(&FORMATS[0])).err();
    assert!(matches!(error, Some(TableError::NotEmpty { .. })), "{error:?}");
}

#[test]
fn overwriting_replaces_tables_and_nothing_else() {
    let dir = folder("overwrite");
    write(&dir, Format::find("csv").expect("registered"), 100_000);
    fs::write(dir.join("notes.txt"), "mine").expect("write a file");
    let without = vec!["none"];
    let layout = Layout { overwrite: true, without, ..layout(&FORMATS[0]) };
    let tables = TableDir::create(&dir, layout).expect("may overwrite");
    assert!(tables.wants("all") && !tables.wants("none"));
    assert!(dir.join("all.csv").exists(), "until the new ones are complete");
    tables.finish().expect("space on the disk");
    let mut names: Vec<_> =
        fs::read_dir(&dir).expect("a folder").map(|file| file.expect("a file").file_name()).collect();
    names.sort();
    assert_eq!(names, ["all.parquet", "notes.txt"]);
}

#[test]
fn what_was_not_finished_leaves_nothing() {
    let dir = folder("dropped");
    let mut tables = TableDir::create(&dir, layout(&FORMATS[0])).expect("a new folder");
    assert!(dir.join("all.parquet.part").exists());
    let mut rows = Rows::new(ALL);
    rows.push(&row(1));
    tables.write(&mut rows).expect("space on the disk");
    drop(tables);
    assert_eq!(fs::read_dir(&dir).expect("a folder").count(), 0);
}

table!(ODD, "odd", Odd {
    constant: i64,
    runs: i32,
    never: Option<i32>,
    seldom: Option<i64>,
    far: i64,
    wide: i32,
    below: Option<i32>,
    growing: i64,
    ratio: Option<f64>,
    flag: Option<bool>,
    same: String,
    often: Option<String>,
    unique: Option<String>,
    nowhere: Option<Addr>,
    anywhere: Addr,
    labels: Option<Label>,
});

/// Values that encodings take differently: none, one, runs, extremes, and what changes its ways half-way.
fn odd(index: i64) -> Odd {
    let scattered = index.wrapping_mul(0x9e37_79b9_7f4a_7c15_u64 as i64);
    let early = index < 40_000;
    Odd {
        constant: 7,
        runs: (index / 1000) as i32,
        never: None,
        seldom: (index % 9999 == 5).then_some(index),
        far: if index % 3 == 0 { i64::MIN } else { i64::MAX - index },
        wide: if index % 2 == 0 { i32::MIN } else { i32::MAX },
        below: (index % 5 > 0).then_some(-(index as i32) % 70_000),
        growing: if early { index % 16 } else { index << 20 },
        ratio: [None, Some(0.0), Some(-0.0), Some(f64::MAX), Some(scattered as f64)][index as usize % 5],
        flag: (index % 7 == 0).then_some(early),
        same: String::new(),
        often: (index % 4 > 0).then(|| format!("{}", index % 100)),
        unique: (early || index % 2 == 0)
            .then(|| if early { "x".repeat(index as usize % 3) } else { scattered.to_string() }),
        nowhere: None,
        anywhere: Addr::v6((u128::from(scattered as u64) << 64).to_be_bytes()),
        labels: (index % 3 > 0).then(|| ["a", "b", "", "d"][index as usize % 4].into()),
    }
}

#[test]
fn parquet_keeps_what_is_odd() {
    const ROWS: i64 = 150_000;
    let dir = folder("odd");
    let layout = Layout { format: &FORMATS[0], tables: &[ODD], without: Vec::new(), overwrite: false };
    let mut tables = TableDir::create(&dir, layout).expect("a new folder");
    let mut rows = Rows::new(ODD);
    (0..ROWS).for_each(|index| rows.push(&odd(index)));
    tables.write(&mut rows.clone()).expect("space on the disk");
    let frame = read(&tables.finish().expect("space on the disk")[0]);
    assert_eq!(frame.height() as i64, ROWS);
    for (spec, column) in ODD.columns.iter().zip(&rows.columns) {
        let read = frame.column(spec.name).expect("a column").as_materialized_series().clone();
        let texts = |texts: Vec<Option<String>>| {
            let read: Vec<_> = read.str().expect("texts").iter().map(|text| text.map(str::to_owned)).collect();
            assert!(read == texts, "{}", spec.name);
        };
        let present = |row: usize| column.nulls().binary_search(&(row as u32)).is_err();
        macro_rules! same {
            ($values:expr, $read:ident) => {{
                let written = $values.values().iter().enumerate().map(|(row, value)| present(row).then_some(*value));
                assert!(read.$read().expect("its type").iter().eq(written), "{}", spec.name);
            }};
        }
        match column {
            Column::Int32(values) => same!(values, i32),
            Column::Int64(values) | Column::Time(values) => same!(values, i64),
            Column::Float64(values) => same!(values, f64),
            Column::Bool(values) => same!(values, bool),
            Column::Text(values) => texts(values.iter().map(|text| text.map(str::to_owned)).collect()),
            Column::Label(values) => texts(values.iter().map(|text| text.map(str::to_owned)).collect()),
            Column::Addr(values) => {
                let text = |(row, addr): (usize, &Addr)| present(row).then(|| addr.to_string());
                texts(values.values().iter().enumerate().map(text).collect());
            }
        }
    }
}

/// What DuckDB and pyarrow must agree on for every format; prints the first difference.
const SCRIPT: &str = r#"
import sys, json
try:
    import duckdb, pyarrow.parquet, pyarrow.ipc
except ImportError as error:
    print(error); sys.exit(77)
folder, expected = sys.argv[1], json.loads(sys.argv[2])
sql = "select count(*), count(seq), sum(seq), sum(port), count(name), sum(ts_ns), count(distinct capture) from "
for reader in [f"read_parquet('{folder}/parquet/all.parquet')", f"read_csv('{folder}/csv/all.csv', sample_size=-1)",
               f"read_json('{folder}/ndjson/all.ndjson')"]:
    got = [int(x) for x in duckdb.sql(sql + reader).fetchall()[0]]
    assert got == expected, (reader, got, expected)
types = dict(zip(*[duckdb.sql(f"select * from read_parquet('{folder}/parquet/all.parquet')").columns,
                   map(str, duckdb.sql(f"select * from read_parquet('{folder}/parquet/all.parquet')").types)]))
assert types["capture"] == types["name"] == "VARCHAR" and types["ts"] == "TIMESTAMP WITH TIME ZONE", types
assert types["seq"] == "BIGINT" and types["port"] == "INTEGER", types
file = pyarrow.parquet.ParquetFile(f"{folder}/parquet/all.parquet")
assert file.metadata.metadata[b"kcap.schema"] == b"1", file.metadata.metadata
assert str(file.schema_arrow.field("ts").type) == "timestamp[us, tz=UTC]", file.schema_arrow
assert str(file.schema_arrow.field("state").type) == "string", file.schema_arrow
assert file.read().validate(full=True) is None
table = pyarrow.ipc.open_file(f"{folder}/arrow/all.arrow").read_all()
table.validate(full=True)
assert str(table.schema.field("state").type) == "large_string", table.schema
assert str(table.schema.field("ts").type) == "timestamp[us, tz=UTC]", table.schema
import pyarrow.compute as pc
assert [table.num_rows, pc.sum(table["seq"]).as_py()] == [expected[0], expected[2]]
assert table["name"].to_pylist() == file.read()["name"].to_pylist()
print(f"{file.metadata.num_row_groups} row groups; duckdb {duckdb.__version__}, pyarrow {pyarrow.__version__}")
"#;

#[test]
fn duckdb_and_pyarrow_read_every_format() {
    let dir = folder("oracles");
    for format in FORMATS {
        write(&dir.join(format.name), format, 50_000);
    }
    let rows = || (0..ROWS).map(row);
    let expected = [
        ROWS,
        rows().filter_map(|row| row.seq).count() as i64,
        rows().filter_map(|row| row.seq).sum(),
        rows().filter_map(|row| row.port).map(i64::from).sum(),
        rows().filter_map(|row| row.name).count() as i64,
    ];
    let sum_ts: i128 = rows().map(|row| i128::from(row.ts_ns)).sum();
    let expected = format!("[{}, {sum_ts}, 1]", expected.map(|number| number.to_string()).join(", "));
    let python = std::env::var("KCAP_PYTHON").unwrap_or_else(|_| "python3".into());
    let output = Command::new(&python).args(["-c", SCRIPT]).arg(&dir).arg(&expected).output();
    match output {
        Err(error) => eprintln!("skipped: {python}: {error}"),
        Ok(output) if output.status.code() == Some(77) => {
            eprintln!("skipped: {python} (KCAP_PYTHON): {}", String::from_utf8_lossy(&output.stdout).trim());
        }
        Ok(output) => {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            eprintln!("{}", String::from_utf8_lossy(&output.stdout).trim());
        }
    }
}
