//! From targets to places.

use crate::args::PodArgs;
use crate::pods::{Found, Listed, Pods};
use crate::target::is_name;
use crate::{CaptureError, Place, Target, TargetError};
use kcap_file::NameRecord;
use std::collections::BTreeSet;
use std::time::Duration;

/// Between looks for a pod that has not started. From its sandbox to its first program it is 100 ms and more, of which
/// opening interfaces takes some; a look takes the runtime 2 ms.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// What targets were found to be.
#[derive(Debug, Default)]
pub struct Resolved {
    /// The targets as understood.
    pub targets: Vec<String>,
    /// Network namespaces, each once.
    pub places: Vec<Place>,
    /// Names of the addresses of the places.
    pub names: Vec<NameRecord>,
    /// Finds what the targets become.
    pub(crate) follow: Option<Follow>,
}

/// How long a pod that is gone may take to come back: its sandbox is restarted within 3 s.
const PATIENCE: Duration = Duration::from_secs(10);

/// Finds pods that take the place of those that were found, or join them.
#[derive(Debug)]
pub(crate) struct Follow {
    /// None before the first look, and while it does not answer: whoever follows is another process than who resolved.
    pods: Option<Pods>,
    targets: Vec<Target>,
    args: PodArgs,
}

impl Follow {
    /// With `--first`, it is the pod that was taken which is followed, not whichever is the first later.
    fn of(targets: &[Target], args: &PodArgs, places: &[Place]) -> Self {
        let mut args = args.clone();
        let mut targets = targets.to_vec();
        if args.first {
            let taken = places.iter().filter_map(|place| place.pod.as_ref());
            targets = taken.map(|pod| Target::Pod(pod.name.clone())).collect();
            args.selector = None;
        }
        Self { pods: None, targets, args }
    }

    /// Names of the addresses of all pods of the node.
    pub(crate) fn names(&mut self) -> Vec<NameRecord> {
        self.connect().map_or_else(|_| Vec::new(), Pods::names)
    }

    fn connect(&mut self) -> Result<&Pods, CaptureError> {
        match &mut self.pods {
            Some(pods) => Ok(pods),
            none => Ok(none.insert(Pods::connect(self.args.runtime_endpoint.as_deref())?)),
        }
    }

    /// How long all pods may be gone before that is the end.
    pub(crate) fn patience(&self) -> Option<Duration> {
        (!self.args.wait).then_some(PATIENCE)
    }

    /// The sandboxes that run, and the places of those that the targets mean and that are not known.
    pub(crate) fn look(&mut self, known: &[&str]) -> Result<(BTreeSet<String>, Vec<Place>), CaptureError> {
        let listed = self.connect()?.list().inspect_err(|_| self.pods = None)?;
        // What is not there now may be later.
        let found = chosen(&listed, &self.targets, &self.args).into_iter().filter_map(Result::ok).flatten();
        let new = found.filter(|found| found.is_ready() && !known.contains(&found.id()));
        let place = |found| self.pods.as_ref()?.place(found, &self.args).ok();
        let places = new.filter_map(place).collect();
        Ok((listed.ready(), places))
    }
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
    let pods = args.selector.is_some() || parsed.iter().any(needs_runtime);
    if let Some(name) = args.container.as_ref().filter(|_| !pods) {
        return Err(TargetError::NoContainer { name: name.clone(), candidates: Vec::new() }.into());
    }
    let mut resolved = Resolved { targets: parsed.iter().map(ToString::to_string).collect(), ..Resolved::default() };
    if let Some(selector) = &args.selector {
        resolved.targets.push(format!("-l {selector}"));
    }
    for target in parsed.iter().filter(|target| !needs_runtime(target)) {
        resolved.add(local(target)?);
    }
    if pods {
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
        while args.wait && found.as_ref().is_err_and(CaptureError::may_pass) {
            std::thread::sleep(LOOK_AGAIN);
            found = look(&pods, targets, args);
        }
        for place in found? {
            self.add(place);
        }
        self.names = self.places.iter().flat_map(Place::names).collect();
        self.follow = Some(Follow::of(targets, args, &self.places));
        Ok(())
    }
}

fn look(pods: &Pods, targets: &[Target], args: &PodArgs) -> Result<Vec<Place>, CaptureError> {
    let listed = pods.list()?;
    let mut places = Vec::new();
    for found in chosen(&listed, targets, args) {
        for sandbox in found? {
            places.push(pods.place(sandbox, args)?);
        }
    }
    Ok(places)
}

/// What each target and the selector mean.
fn chosen<'a>(listed: &'a Listed, targets: &[Target], args: &PodArgs) -> Vec<Result<Vec<Found<'a>>, CaptureError>> {
    let of_target = |target: &Target| match target {
        Target::Pod(name) => Some(listed.named(name, args)),
        Target::Container(id) => Some(listed.of_container(id).map(|found| vec![found])),
        _ => None,
    };
    let selected = args.selector.as_ref().map(|selector| listed.selected(selector, args));
    targets.iter().filter_map(of_target).chain(selected).collect()
}
