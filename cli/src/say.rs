//! What is said on standard error. Where that cannot be written there is nobody to tell, which ends nothing: a capture
//! does not stop because a log is full.

/// Prints a line on standard error.
macro_rules! eprintln {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(anstream::stderr(), $($text)*);
    }};
}

/// Prints on standard error.
macro_rules! eprint {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = write!(anstream::stderr(), $($text)*);
    }};
}
