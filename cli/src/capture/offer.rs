//! A name that is no pod's but fits one: on a terminal it is offered, Enter takes it.

use super::failure;
use crate::exit::Failure;
use kcap_node::{CaptureError, PodArgs, Resolved, TargetError};
use std::io::{self, IsTerminal as _};

/// The places of the targets. That they are waited for is told by `note`.
pub(super) fn resolve(targets: &[String], pods: &PodArgs, note: impl FnOnce(&str)) -> Result<Resolved, Failure> {
    let error = match kcap_node::resolve(targets, &PodArgs { wait: false, ..pods.clone() }) {
        Ok(resolved) => return Ok(resolved),
        Err(error) => error,
    };
    if pods.wait && error.may_pass() {
        note(&format!("{error}: waiting for it"));
        return kcap_node::resolve(targets, pods).map_err(failure);
    }
    match candidate(&error, targets) {
        Some((namespace, name)) if asked(&error, &namespace, &name) => {
            let pods = PodArgs { namespace, ..pods.clone() };
            kcap_node::resolve(&[format!("pod/{name}")], &pods).map_err(failure)
        }
        _ => Err(failure(error)),
    }
}

/// The only pod that may have been meant.
fn candidate(error: &CaptureError, targets: &[String]) -> Option<(String, String)> {
    let CaptureError::Target(TargetError::NoPod { candidates, .. }) = error else { return None };
    let ([only], [_]) = (candidates.as_slice(), targets) else { return None };
    let (namespace, name) = only.split_once('/')?;
    Some((namespace.to_owned(), name.to_owned()))
}

fn asked(error: &CaptureError, namespace: &str, name: &str) -> bool {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return false;
    }
    eprint!("kcap: {error}\nCapture pod/{name} in namespace {namespace} instead? [Y/n] ");
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).is_ok_and(|len| len > 0 && is_yes(&answer))
}

/// Enter is yes; the end of input is not.
fn is_yes(answer: &str) -> bool {
    matches!(answer.trim().to_ascii_lowercase().as_str(), "" | "y" | "yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn no_pod(candidates: &[&str]) -> CaptureError {
        let candidates = candidates.iter().map(|&name| name.to_owned()).collect();
        TargetError::NoPod { name: "api".to_owned(), namespace: "default".to_owned(), candidates }.into()
    }

    #[test]
    fn only_a_single_candidate_is_offered() {
        let one = ["api".to_owned()];
        let two = ["api".to_owned(), "db".to_owned()];
        assert_eq!(candidate(&no_pod(&["prod/api-1"]), &one), Some(("prod".to_owned(), "api-1".to_owned())));
        assert_eq!(candidate(&no_pod(&["prod/api-1", "prod/api-2"]), &one), None);
        assert_eq!(candidate(&no_pod(&["prod/api-1"]), &two), None);
        assert_eq!(candidate(&no_pod(&[]), &one), None);
    }

    #[test]
    fn enter_is_yes() {
        assert!(["\n", "y\n", "YES\n"].iter().all(|answer| is_yes(answer)));
        assert!(["n\n", "no\n", "q\n", "?\n"].iter().all(|answer| !is_yes(answer)));
    }
}
