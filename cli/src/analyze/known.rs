//! What the user knows beside the captures: Kubernetes objects and listings of conntrack.

use crate::{
    args::AnalyzeArgs,
    exit::{Exit, Failure},
};
use anyhow::Context as _;
use kcap_analyze::{Conntrack, Directory};
use std::{fs, path::Path};

/// Names of addresses.
pub(super) fn names(args: &AnalyzeArgs) -> Result<Directory, Failure> {
    let Some(path) = &args.kube_objects else { return Ok(Directory::default()) };
    let names = Directory::from_kube(&read(path)?);
    names.map_err(|error| {
        let error = anyhow::Error::new(error).context(format!("read objects of {}", path.display()));
        let hint = "kubectl get nodes,pods,services,endpoints,endpointslices -A -o json writes such a file";
        Failure::new(Exit::Data, error).hint(Some(hint))
    })
}

/// Listings, one after the other.
pub(super) fn conntrack(args: &AnalyzeArgs) -> Result<Conntrack, Failure> {
    let mut listing = Conntrack::default();
    for path in &args.conntrack {
        listing.read(&String::from_utf8_lossy(&read(path)?));
        if listing.is_empty() {
            let message = format!("read conntrack listing {}: nothing in it is one", path.display());
            let hint = "conntrack -L, -E and -S, and /proc/net/nf_conntrack, write such files";
            return Err(Failure::new(Exit::Data, anyhow::Error::msg(message)).hint(Some(hint)));
        }
    }
    Ok(listing)
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    Ok(fs::read(path).with_context(|| format!("read {}", path.display()))?)
}
