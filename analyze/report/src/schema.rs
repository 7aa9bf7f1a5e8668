//! JSON Schema of the report. The file is published; a test keeps it in step with the types.

/// JSON Schema (2020-12) of `kcap.report/1`.
pub const REPORT: &str = include_str!("../schema/kcap.report.1.json");

#[cfg(test)]
mod tests;
