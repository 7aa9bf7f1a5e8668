//! The engine from capture to report, through its public interface.
#![cfg(test)]

mod advice;
mod apps;
mod capture_filters;
mod captures;
mod columns;
mod compat;
mod cutting;
mod delays;
mod dns;
mod dns_errors;
mod endings;
mod filters;
mod findings;
mod forwarding;
mod lookups;
mod merging;
mod nodes;
mod outages;
mod paths;
mod pipeline;
mod places;
#[path = "../recorded/files.rs"]
mod recorded;
mod registry;
mod restriction;
mod samples;
mod sizes;
mod support;
mod tcp_truth;
mod traffic;
#[path = "../recorded/tshark.rs"]
mod tshark;
