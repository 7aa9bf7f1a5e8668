//! What runtimes say beyond CRI: the JSON of a verbose status. Fields that one runtime lacks are absent.

use serde::Deserialize;
use std::path::PathBuf;

/// `info` of a sandbox or container.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Info {
    /// Of containerd, and of CRI-O's containers; 0 when the process is gone.
    pid: Option<u32>,
    /// Of containerd.
    net_namespace_closed: bool,
    runtime_spec: Option<Spec>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Spec {
    linux: Linux,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Linux {
    namespaces: Vec<SpecNamespace>,
}

#[derive(Debug, Deserialize)]
struct SpecNamespace {
    #[serde(rename = "type")]
    kind: String,
    path: Option<PathBuf>,
}

impl Info {
    /// That of the text; nothing is known of what is no such JSON.
    pub(crate) fn of(text: Option<&String>) -> Self {
        text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.pid.filter(|pid| *pid != 0)
    }

    /// The file of the network namespace. One that was closed may still be listed.
    pub(crate) fn netns(&self) -> Option<PathBuf> {
        let namespaces = self.runtime_spec.as_ref().filter(|_| !self.net_namespace_closed);
        let mut namespaces = namespaces.into_iter().flat_map(|spec| &spec.linux.namespaces);
        namespaces.find(|found| found.kind == "network").and_then(|found| found.path.clone())
    }
}
