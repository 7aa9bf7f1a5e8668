//! The registries: what everything that is listed must have.

use kcap_analyze::detect::DETECTORS;
use kcap_analyze::finding::Severity;
use kcap_analyze::table::{ColumnType, TABLES};
use std::collections::BTreeSet;

/// Codes are a contract: three letters and three digits, as `kcap explain` takes them.
fn is_code(code: &str) -> bool {
    let (letters, digits) = code.split_at_checked(3).unwrap_or_default();
    letters.bytes().all(|b| b.is_ascii_uppercase()) && digits.len() == 3 && digits.bytes().all(|b| b.is_ascii_digit())
}

fn is_snake_case(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    name.starts_with(|c: char| c.is_ascii_lowercase()) && name.bytes().all(allowed) && !name.ends_with('_')
}

#[test]
fn every_detector_says_everything() {
    for about in DETECTORS {
        assert!(is_code(about.code), "{}", about.code);
        let slug = about.slug.replace('-', "_");
        assert!(is_snake_case(&slug) && !about.slug.contains('_'), "{}", about.slug);
        let texts = [about.title, about.what, about.why, about.how, about.false_positives, about.fix, about.filter];
        for text in texts {
            assert!(text.len() > 10 && text.trim() == text && !text.contains("  "), "{}: {text:?}", about.code);
        }
        for text in [about.what, about.why, about.how, about.false_positives, about.fix] {
            assert!(text.ends_with('.'), "{}: {text:?}", about.code);
        }
        assert!(Severity::ALL.contains(&about.severity));
    }
}

#[test]
fn codes_and_slugs_are_unique() {
    let codes: BTreeSet<_> = DETECTORS.iter().map(|about| about.code).collect();
    let slugs: BTreeSet<_> = DETECTORS.iter().map(|about| about.slug).collect();
    assert_eq!((codes.len(), slugs.len()), (DETECTORS.len(), DETECTORS.len()));
}

#[test]
fn causes_come_before_symptoms() {
    let order: Vec<_> = DETECTORS.iter().map(|about| about.code).collect();
    let place = |code: &str| order.iter().position(|known| *known == code).unwrap_or_else(|| panic!("no {code}"));
    // Artefacts of the capture, then the overlay, then routes, then the services behind.
    let precedence = [["CAP001", "OVL001"], ["CAP002", "OVL001"], ["OVL001", "NET004"], ["NET004", "SVC005"]];
    let more = [["NET004", "SVC004"], ["SVC005", "SVC004"], ["SVC003", "SVC004"]];
    for [cause, symptom] in precedence.into_iter().chain(more) {
        assert!(place(cause) < place(symptom), "{cause} after {symptom}");
    }
}

#[test]
fn every_table_and_column_is_documented_and_named_well() {
    let names: BTreeSet<_> = TABLES.iter().map(|table| table.name).collect();
    assert_eq!(names.len(), TABLES.len());
    for table in TABLES {
        assert!(is_snake_case(table.name) && table.doc.trim().len() > 5, "{}", table.name);
        let columns: BTreeSet<_> = table.columns.iter().map(|column| column.name).collect();
        assert_eq!(columns.len(), table.columns.len(), "{} has a column twice", table.name);
        for column in table.columns {
            let place = format!("{}.{}", table.name, column.name);
            assert!(is_snake_case(column.name), "{place}");
            assert!(column.doc.trim().len() > 3 && column.doc.trim().ends_with('.'), "{place}: {:?}", column.doc);
        }
    }
}

#[test]
fn times_come_in_pairs_with_their_units() {
    for table in TABLES {
        let has = |name: &str, ty| table.columns.iter().any(|column| column.name == name && column.ty == ty);
        for column in table.columns {
            let place = format!("{}.{}", table.name, column.name);
            if let Some(stem) = column.name.strip_suffix("_ns") {
                assert!(column.ty == ColumnType::Int64 && has(stem, ColumnType::Time), "{place} has no {stem}");
            }
            if column.ty == ColumnType::Time {
                assert!(has(&format!("{}_ns", column.name), ColumnType::Int64), "{place} has no nanoseconds");
            }
            if column.name == "port" || column.name.ends_with("_port") {
                assert_eq!(column.ty, ColumnType::Int32, "{place}");
            }
        }
    }
}

#[test]
fn rows_say_where_they_come_from() {
    for table in TABLES {
        let has = |name: &str| table.columns.iter().any(|column| column.name == name);
        assert!(has("capture"), "{} does not name the file", table.name);
        let whole_file = ["captures", "clocks", "findings", "segments", "tunnels"];
        assert!(has("point") || whole_file.contains(&table.name), "{} does not name the point", table.name);
        let of_many_frames = ["captures", "clocks", "points", "decode", "intervals", "segments"];
        let framed = has("frame") || has("first_frame");
        assert!(framed || of_many_frames.contains(&table.name), "{} does not name a frame", table.name);
    }
}
