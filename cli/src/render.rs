//! The report in the forms that `-o` names.

mod clean;
mod json;
mod page;
#[cfg(test)]
pub(crate) mod reference;
mod text;
mod units;

pub(crate) use page::{Page, severity_word};

use clap::builder::PossibleValue;
use kcap_analyze::Report;
use std::io::{self, Write};

/// What the output goes to.
pub(crate) struct Screen {
    /// Columns.
    pub(crate) width: usize,
    /// Whether a person looks at it.
    pub(crate) terminal: bool,
}

/// A form of the report.
pub(crate) struct Format {
    pub(crate) name: &'static str,
    pub(crate) doc: &'static str,
    /// Whether it has styles, which a stream may have to strip.
    pub(crate) styled: bool,
    pub(crate) render: fn(&Report, &Screen, &mut dyn Write) -> io::Result<()>,
}

impl Format {
    /// The form as a value of `-o`.
    pub(crate) fn value(&self) -> PossibleValue {
        PossibleValue::new(self.name).help(self.doc)
    }
}

/// The forms, the default one first.
pub(crate) const FORMATS: &[Format] = &[text::FORMAT, json::FORMAT];

#[cfg(test)]
mod tests;
