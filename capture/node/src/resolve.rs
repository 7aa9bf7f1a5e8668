//! From targets to places.

use crate::args::PodArgs;
use crate::pods::Pods;
use crate::target::is_name;
use crate::{CaptureError, Place, Target, TargetError};
use kcap_file::NameRecord;
use std::time::Duration;

/// Between looks for a pod that has not started.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// What targets were found to be.
#[derive(Debug, Default)]
pub struct Resolved {
    /// The targets as understood.
    pub targets: Vec<String>,
    /// Network namespaces, each once.
    pub places: Vec<Place>,
    /// Names of the addresses that are known.
    pub names: Vec<NameRecord>,
}

/// Finds the places that the targets are.
pub fn resolve(targets: &[String], args: &PodArgs) -> Result<Resolved, CaptureError> {
    // A name of a namespace is a label: no dots.
    if !is_name(&args.namespace) || args.namespace == "n" || args.namespace.contains('.') {
        return Err(TargetError::Namespace(args.namespace.clone()).into());
    }
    let parsed: Vec<Target> = targets.iter().map(|text| text.parse()).collect::<Result<_, _>>()?;
    if parsed.is_empty() && args.selector.is_none() {
        return Err(CaptureError::Usage("no target: name a pod, netns/NAME, pid/N or node; or select pods with -l"));
    }
    if parsed.iter().any(|target| matches!(target, Target::Pod(_))) && args.selector.is_some() {
        return Err(CaptureError::Usage("name a pod, or select pods with -l, but not both"));
    }
    let mut resolved = Resolved { targets: parsed.iter().map(ToString::to_string).collect(), ..Resolved::default() };
    if let Some(selector) = &args.selector {
        resolved.targets.push(format!("-l {selector}"));
    }
    for target in parsed.iter().filter(|target| !needs_runtime(target)) {
        resolved.add(local(target)?);
    }
    if args.selector.is_some() || parsed.iter().any(needs_runtime) {
        resolved.add_pods(&parsed, args)?;
    }
    Ok(resolved)
}

fn needs_runtime(target: &Target) -> bool {
    matches!(target, Target::Pod(_) | Target::Container(_))
}

fn local(target: &Target) -> Result<Place, CaptureError> {
    match target {
        Target::Netns(path) => Place::of_file(target, path.clone()),
        Target::Process(pid) => Place::of_process(*pid),
        _ => Place::node(),
    }
}

impl Resolved {
    fn add(&mut self, place: Place) {
        if self.places.iter().all(|known| known.netns.inode() != place.netns.inode()) {
            self.places.push(place);
        }
    }

    fn add_pods(&mut self, targets: &[Target], args: &PodArgs) -> Result<(), CaptureError> {
        let pods = Pods::connect(args.runtime_endpoint.as_deref())?;
        let mut found = look(&pods, targets, args);
        while args.wait && found.as_ref().is_err_and(may_come) {
            std::thread::sleep(LOOK_AGAIN);
            found = look(&pods, targets, args);
        }
        for place in found? {
            self.add(place);
        }
        self.names = pods.names();
        Ok(())
    }
}

fn look(pods: &Pods, targets: &[Target], args: &PodArgs) -> Result<Vec<Place>, CaptureError> {
    let listed = pods.list()?;
    let mut places = Vec::new();
    for target in targets {
        let chosen = match target {
            Target::Pod(name) => listed.named(name, args)?,
            Target::Container(id) => vec![listed.of_container(id)?],
            _ => continue,
        };
        for sandbox in chosen {
            places.push(pods.place(sandbox, args)?);
        }
    }
    if let Some(selector) = &args.selector {
        for sandbox in listed.selected(selector, args)? {
            places.push(pods.place(sandbox, args)?);
        }
    }
    Ok(places)
}

/// Whether what is missing may come with time.
fn may_come(error: &CaptureError) -> bool {
    matches!(
        error,
        CaptureError::Target(
            TargetError::NoPod { .. }
                | TargetError::NoMatch(_)
                | TargetError::NotRunning(_)
                | TargetError::NoNamespace(_)
                | TargetError::NoContainer { .. }
        ) | CaptureError::OpenNamespace { .. }
    ) || matches!(error, CaptureError::Runtime(error) if error.is_gone())
}
