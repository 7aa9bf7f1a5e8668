//! DNS: questions and their answers. What was asked is known by its identification and question, which neither NAT nor
//! a tunnel changes.

pub mod transaction;

pub use transaction::Transaction;
