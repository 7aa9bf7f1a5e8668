//! Names in commands: the pod that a finding is about, where that is known.

use super::Directory;
use crate::finding::{Finding, Role};
use std::collections::BTreeSet;

/// What commands have for a pod whose name is not known.
const UNKNOWN: &str = " POD";

impl Finding {
    /// Puts the pod that it is about into its commands, where that is one and known.
    pub(crate) fn name_pod(&mut self, names: &Directory) {
        let Some((namespace, pod)) = self.pod(names) else { return };
        for command in self.fix.commands.iter_mut().filter(|command| command.starts_with("kubectl ")) {
            let own = if command.contains(" -n ") { format!(" {pod}") } else { format!(" -n {namespace} {pod}") };
            *command = command.replacen(UNKNOWN, &own, 1);
        }
    }

    /// Namespace and name of the one pod that serves.
    fn pod(&self, names: &Directory) -> Option<(String, String)> {
        let serves = |role: Role| matches!(role, Role::Server | Role::Endpoint | Role::Resolver);
        let of_role = self.subjects.iter().filter(|subject| serves(subject.role));
        let pods: BTreeSet<String> = of_role.filter_map(|subject| names.pod(&subject.address, &self.last)).collect();
        let pod = pods.first().filter(|_| pods.len() == 1)?;
        pod.split_once('/').map(|(namespace, name)| (namespace.to_owned(), name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PODS: &str = r#"{"kind": "List", "items": [
        {"kind": "Pod", "metadata": {"name": "api-0", "namespace": "shop"},
         "status": {"phase": "Running", "podIP": "10.244.1.7"}},
        {"kind": "Pod", "metadata": {"name": "api-1", "namespace": "shop"},
         "status": {"phase": "Running", "podIP": "10.244.1.8"}}]}"#;

    fn commands(servers: &[&str]) -> Vec<String> {
        let mut finding = Finding::of(&crate::detect::DETECTORS[0], String::new());
        "2026-01-01T00:00:00Z".clone_into(&mut finding.last);
        for server in servers {
            finding.about(Role::Server, server);
        }
        finding.fix.commands = ["kubectl logs POD --previous", "kubectl -n kube-system debug -it POD", "ss POD"]
            .map(str::to_owned)
            .to_vec();
        finding.name_pod(&Directory::from_kube(PODS.as_bytes()).expect("it is JSON"));
        finding.fix.commands
    }

    #[test]
    fn one_pod_is_named() {
        let expected = ["kubectl logs -n shop api-0 --previous", "kubectl -n kube-system debug -it api-0", "ss POD"];
        assert_eq!(commands(&["10.244.1.7:8080", "10.96.0.1:80"]), expected);
    }

    #[test]
    fn two_pods_or_none_are_not() {
        assert!(commands(&["10.244.1.7:8080", "10.244.1.8:8080"])[0].contains("POD"));
        assert!(commands(&["10.96.0.1:80"])[0].contains("POD"));
    }
}
