//! Walks captures and says what is in them: `cargo run --release -p kcap-file --example walk -- FILE…`

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is a program")]

use kcap_file::{Batch, Reader};

fn main() {
    let mut batch = Batch::default();
    for path in std::env::args().skip(1) {
        let mut reader = match Reader::open(&path) {
            Ok(reader) => reader,
            Err(error) => {
                eprintln!("{error}; {}", error.hint().unwrap_or_default());
                continue;
            }
        };
        while reader.next_batch(&mut batch) {}
        println!("{:#?}", reader.info());
    }
}
