//! The pods of this node, and the places they are.

use crate::args::PodArgs;
use crate::place::{Place, pod_name, resolv_conf_of};
use crate::{CaptureError, Netns, TargetError};
use kcap_cri::{Container, Network, Runtime, Sandbox};
use kcap_file::NameRecord;
use kcap_file::note::PodNote;
use std::collections::{BTreeMap, BTreeSet};

/// Pods whose addresses are asked for to name them: each is a call of some milliseconds.
const MAX_NAMED: usize = 256;

/// The runtime of this node.
#[derive(Debug)]
pub(crate) struct Pods {
    runtime: Runtime,
}

/// What runs, as it was listed at one time.
#[derive(Debug)]
pub(crate) struct Listed {
    /// Of each pod the sandbox that counts.
    sandboxes: Vec<Sandbox>,
    containers: Vec<Container>,
}

impl Pods {
    pub(crate) fn connect(endpoint: Option<&str>) -> Result<Self, CaptureError> {
        Ok(Self { runtime: Runtime::connect(endpoint)? })
    }

    pub(crate) fn list(&self) -> Result<Listed, CaptureError> {
        // cri-dockerd takes the first address off before it decides that a pod without addresses is not ready.
        let trusted = self.runtime.version().name != "docker";
        let mut newest: BTreeMap<(String, String), Sandbox> = BTreeMap::new();
        for mut sandbox in self.runtime.sandboxes()? {
            sandbox.ready |= !trusted;
            let key = (sandbox.namespace.clone(), sandbox.name.clone());
            let order = |s: &Sandbox| (s.ready, s.attempt, s.created_ns);
            match newest.get(&key) {
                Some(known) if order(known) >= order(&sandbox) => {}
                _ => drop(newest.insert(key, sandbox)),
            }
        }
        Ok(Listed { sandboxes: newest.into_values().collect(), containers: self.runtime.containers()? })
    }

    /// The network namespace of a sandbox, by the first way that works: its file, its process, a container's process.
    pub(crate) fn place(&self, found: Found<'_>, args: &PodArgs) -> Result<Place, CaptureError> {
        let Found { sandbox, containers } = found;
        let name = shown(sandbox);
        if !sandbox.ready {
            return Err(TargetError::NotRunning(name).into());
        }
        let network = self.runtime.network(&sandbox.id)?;
        if network.host && !args.host_network {
            return Err(TargetError::HostNetwork(name).into());
        }
        let pod = Some(self.note(sandbox, &containers, &network));
        let pid = self.process(&containers).or(network.pid);
        let resolv_conf = pid.map(resolv_conf_of);
        if network.host {
            return Ok(Place { name, pod, resolv_conf, ..Place::node()? });
        }
        let netns = open(&network, pid, &name)?;
        // Between listing and opening it may have been restarted: then the namespace is that of nobody.
        if !self.runtime.network(&sandbox.id)?.ready && self.runtime.version().name != "docker" {
            return Err(TargetError::NotRunning(name).into());
        }
        Ok(Place { name, netns, node: false, pod, resolv_conf })
    }

    /// The process of a container that runs.
    fn process(&self, containers: &[&Container]) -> Option<u32> {
        let running = containers.iter().filter(|container| container.running);
        running.into_iter().find_map(|container| self.runtime.pid(&container.id).ok()?)
    }

    fn note(&self, sandbox: &Sandbox, containers: &[&Container], network: &Network) -> PodNote {
        PodNote {
            name: sandbox.name.clone(),
            namespace: sandbox.namespace.clone(),
            uid: sandbox.uid.clone(),
            sandbox: sandbox.id.clone(),
            attempt: sandbox.attempt,
            addresses: network.addresses.clone(),
            containers: containers.iter().map(|container| container.name.clone()).collect(),
            runtime: self.runtime.version().to_string(),
        }
    }

    /// Names of the addresses of the pods that run; a pod that cannot be asked any more has none.
    pub(crate) fn names(&self) -> Vec<NameRecord> {
        let Ok(listed) = self.list() else { return Vec::new() };
        let ready = listed.sandboxes.iter().filter(|sandbox| sandbox.ready).take(MAX_NAMED);
        let mut names = Vec::new();
        for sandbox in ready {
            let network = self.runtime.network(&sandbox.id).unwrap_or_default();
            let name = pod_name(&sandbox.namespace, &sandbox.name);
            names
                .extend(network.addresses.into_iter().map(|address| NameRecord { address, names: vec![name.clone()] }));
        }
        names
    }

    /// Every pod with its network, for a list of what can be captured.
    pub(crate) fn networks(&self) -> Result<Vec<(Sandbox, Network)>, CaptureError> {
        let listed = self.list()?;
        let with_network = |sandbox: Sandbox| {
            let network = self.runtime.network(&sandbox.id).unwrap_or_default();
            (sandbox, network)
        };
        Ok(listed.sandboxes.into_iter().map(with_network).collect())
    }
}

/// A sandbox and the containers in it.
#[derive(Debug)]
pub(crate) struct Found<'a> {
    sandbox: &'a Sandbox,
    containers: Vec<&'a Container>,
}

impl Found<'_> {
    /// The sandbox, which another one takes the place of when the pod is restarted.
    pub(crate) fn id(&self) -> &str {
        &self.sandbox.id
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.sandbox.ready
    }
}

fn open(network: &Network, pid: Option<u32>, name: &str) -> Result<Netns, CaptureError> {
    let by_file = network.netns.clone().map(Netns::open);
    match by_file {
        Some(Ok(netns)) => return Ok(netns),
        Some(Err(error)) if network.pid.or(pid).is_none() => return Err(error),
        _ => {}
    }
    let by_process = network.pid.or(pid).map(Netns::of_process);
    by_process.unwrap_or_else(|| Err(TargetError::NoNamespace(name.to_owned()).into()))
}

fn shown(sandbox: &Sandbox) -> String {
    format!("{}/{}", sandbox.namespace, sandbox.name)
}

impl Listed {
    /// Identifiers of the sandboxes that run.
    pub(crate) fn ready(&self) -> BTreeSet<String> {
        self.sandboxes.iter().filter(|sandbox| sandbox.ready).map(|sandbox| sandbox.id.clone()).collect()
    }

    /// The pod of that name; or, if that was asked for, those whose names begin with it, as a deployment's do.
    pub(crate) fn named(&self, name: &str, args: &PodArgs) -> Result<Vec<Found<'_>>, CaptureError> {
        let here = |sandbox: &&Sandbox| sandbox.namespace == args.namespace;
        if let Some(sandbox) = self.sandboxes.iter().filter(here).find(|sandbox| sandbox.name == name) {
            return Ok(vec![self.found(sandbox, args)?]);
        }
        let prefix = format!("{name}-");
        let similar: Vec<&Sandbox> =
            self.sandboxes.iter().filter(here).filter(|s| s.ready && s.name.starts_with(&prefix)).collect();
        if !similar.is_empty() && (args.all_pods || args.first) {
            return self.choose(format!("pod/{name}"), similar, args);
        }
        let elsewhere = self.sandboxes.iter().filter(|s| s.ready && s.name == name);
        let candidates = similar.into_iter().chain(elsewhere).map(shown).collect();
        Err(TargetError::NoPod { name: name.to_owned(), namespace: args.namespace.clone(), candidates }.into())
    }

    /// The pods that have the labels: all of them, since that is what a selector says.
    pub(crate) fn selected(&self, selector: &str, args: &PodArgs) -> Result<Vec<Found<'_>>, CaptureError> {
        let wanted = labels(selector)?;
        let fits = |sandbox: &&Sandbox| {
            sandbox.ready
                && sandbox.namespace == args.namespace
                && wanted.iter().all(|(key, value)| sandbox.labels.get(*key).map(String::as_str) == Some(*value))
        };
        let all = PodArgs { all_pods: !args.first, ..args.clone() };
        let found: Vec<&Sandbox> = self.sandboxes.iter().filter(fits).collect();
        if found.is_empty() {
            return Err(TargetError::NoMatch(selector.to_owned()).into());
        }
        self.choose(format!("-l {selector}"), found, &all)
    }

    /// The pod of the container whose identifier begins like that.
    pub(crate) fn of_container(&self, id: &str) -> Result<Found<'_>, CaptureError> {
        let none = || TargetError::NoContainer { name: id.to_owned(), candidates: Vec::new() };
        let mut fitting = self.containers.iter().filter(|container| container.id.starts_with(id));
        let container = fitting.next().ok_or_else(none)?;
        if let Some(other) = fitting.next() {
            let pods = vec![container.id.clone(), other.id.clone()];
            return Err(TargetError::Several { asked: format!("container/{id}"), pods }.into());
        }
        let sandbox = self.sandboxes.iter().find(|sandbox| sandbox.id == container.sandbox).ok_or_else(none)?;
        Ok(self.within(sandbox))
    }

    fn choose<'a>(
        &'a self,
        asked: String,
        mut found: Vec<&'a Sandbox>,
        args: &PodArgs,
    ) -> Result<Vec<Found<'a>>, CaptureError> {
        if args.first {
            found.truncate(1);
        }
        if found.len() > 1 && !args.all_pods {
            return Err(TargetError::Several { asked, pods: found.into_iter().map(shown).collect() }.into());
        }
        found.into_iter().map(|sandbox| self.found(sandbox, args)).collect()
    }

    fn within<'a>(&'a self, sandbox: &'a Sandbox) -> Found<'a> {
        Found { sandbox, containers: self.containers.iter().filter(|c| c.sandbox == sandbox.id).collect() }
    }

    /// The sandbox, if it has the container asked for. All containers of a pod share one network.
    fn found<'a>(&'a self, sandbox: &'a Sandbox, args: &PodArgs) -> Result<Found<'a>, CaptureError> {
        let found = self.within(sandbox);
        match &args.container {
            Some(name) if !found.containers.iter().any(|container| container.name == *name && container.running) => {
                let mut candidates: Vec<String> = found.containers.iter().map(|c| c.name.clone()).collect();
                candidates.sort();
                candidates.dedup();
                Err(TargetError::NoContainer { name: name.clone(), candidates }.into())
            }
            _ => Ok(found),
        }
    }
}

/// `app=api,tier==web`: equality is what can be asked of a runtime's labels.
fn labels(selector: &str) -> Result<Vec<(&str, &str)>, TargetError> {
    let pair = |term: &'_ str| -> Option<(usize, usize)> {
        let (key, value) = term.split_once("==").or_else(|| term.split_once('='))?;
        (!key.is_empty() && !key.ends_with('!') && !value.starts_with('=')).then_some((key.len(), value.len()))
    };
    let parse = |term| {
        let term = str::trim(term);
        let (key, value) = pair(term).ok_or_else(|| TargetError::Selector(selector.to_owned()))?;
        Ok((&term[..key], &term[term.len() - value..]))
    };
    selector.split(',').map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sandbox(namespace: &str, name: &str, labels: &[(&str, &str)]) -> Sandbox {
        let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let id = format!("{namespace}-{name}");
        Sandbox {
            id,
            name: name.to_owned(),
            namespace: namespace.to_owned(),
            ready: true,
            labels,
            ..Sandbox::default()
        }
    }

    fn listed() -> Listed {
        let container = |sandbox: &str, name: &str| Container {
            id: format!("c-{sandbox}-{name}"),
            name: name.to_owned(),
            sandbox: sandbox.to_owned(),
            running: true,
        };
        Listed {
            sandboxes: vec![
                sandbox("default", "api-1", &[("app", "api"), ("tier", "web")]),
                sandbox("default", "api-2", &[("app", "api")]),
                sandbox("prod", "api", &[("app", "api")]),
            ],
            containers: vec![container("default-api-1", "app"), container("default-api-1", "proxy")],
        }
    }

    fn args() -> PodArgs {
        PodArgs { namespace: "default".to_owned(), ..PodArgs::default() }
    }

    fn names(found: Result<Vec<Found<'_>>, CaptureError>) -> Result<Vec<String>, String> {
        found.map(|found| found.iter().map(|f| shown(f.sandbox)).collect()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_part_of_a_name_is_never_a_pod() {
        let listed = listed();
        assert_eq!(names(listed.named("api-1", &args())).unwrap(), ["default/api-1"]);
        let Err(CaptureError::Target(error)) = listed.named("api", &args()) else { panic!("no such pod") };
        let TargetError::NoPod { candidates, .. } = &error else { panic!("{error}") };
        assert_eq!(candidates, &["default/api-1", "default/api-2", "prod/api"]);
        let all = PodArgs { all_pods: true, ..args() };
        assert_eq!(names(listed.named("api", &all)).unwrap().len(), 2);
        let first = PodArgs { first: true, ..args() };
        assert_eq!(names(listed.named("api", &first)).unwrap(), ["default/api-1"]);
        assert!(listed.named("ap", &all).is_err(), "names end at a dash");
    }

    #[test]
    fn labels_choose_pods_of_the_namespace() {
        let listed = listed();
        assert_eq!(names(listed.selected("app=api", &args())).unwrap().len(), 2);
        assert_eq!(names(listed.selected("app==api, tier=web", &args())).unwrap(), ["default/api-1"]);
        for selector in ["app=other", "app", "app!=api", "", "app in (api)", "=api", "app===api"] {
            assert!(listed.selected(selector, &args()).is_err(), "{selector}");
        }
    }

    #[test]
    fn containers_are_found_in_their_pods() {
        let listed = listed();
        let of = |name: &str| PodArgs { container: Some(name.to_owned()), ..args() };
        assert!(listed.named("api-1", &of("proxy")).is_ok());
        let error = listed.named("api-1", &of("100")).unwrap_err();
        assert_eq!(error.to_string(), "no container \"100\"; there is app, proxy");
        assert_eq!(error.hint().unwrap(), "-c is the container; to stop after 100 packets use --count 100");
        assert_eq!(shown(listed.of_container("c-default-api-1-a").unwrap().sandbox), "default/api-1");
        assert!(listed.of_container("c-").unwrap_err().to_string().contains("fits 2"));
        assert!(listed.of_container("x").is_err());
    }
}
