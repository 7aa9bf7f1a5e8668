//! Large captures and what is measured with them.
