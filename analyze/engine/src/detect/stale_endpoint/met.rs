//! What connections to a dead endpoint met, and what helps against that.

use super::{Dead, connection, kept};
use crate::Addr;
use crate::detect::attempts::{Outcome, rejection};
use crate::detect::evidence::some_of;
use crate::detect::world::World;
use crate::finding::Finding;
use crate::track::event::Flow;
use std::collections::BTreeSet;

/// What the failed connections met.
pub(super) enum Met {
    /// A reset, of these TTLs.
    Reset(BTreeSet<u8>),
    /// "Prohibited", from whom where it is known.
    Firewall(Option<Addr>),
    /// Port unreachable, which no stack sends about a SYN.
    Rule,
    /// No pod has the address.
    Gone,
    Silence,
}

impl Met {
    pub(super) fn of(dead: &Dead, world: &World<'_>) -> Self {
        let flows = || dead.failed.iter().flat_map(|at| connection(world, *at).flows(kept(world)));
        let resets = flows().filter_map(Flow::reset).filter(|reset| !reset.by_orig);
        match dead.outcome {
            Outcome::Refused => Self::Reset(resets.map(|reset| reset.ttl).take(8).collect()),
            Outcome::Rejected => {
                let errors = || flows().filter_map(Flow::rejection);
                if errors().any(|error| error.icmp.is_port_unreachable()) {
                    Self::Rule
                } else if errors().any(|error| error.icmp.is_prohibited()) {
                    let asked = |addr: &Addr| flows().any(|flow| flow.resp.addr == *addr);
                    Self::Firewall(rejection(flows()).map(|error| error.from).filter(|from| !asked(from)))
                } else {
                    Self::Gone
                }
            }
            _ => Self::Silence,
        }
    }

    /// Behind "connections ... ".
    pub(super) fn words(&self) -> String {
        match self {
            Self::Reset(ttls) => {
                format!("met a reset (TTL {}): the address is alive and nobody listens there", some_of(ttls, 3))
            }
            Self::Firewall(Some(from)) => {
                format!("met ICMP \"prohibited\" from {from}: a firewall or NetworkPolicy there rejects them")
            }
            Self::Firewall(None) => {
                "met ICMP \"prohibited\": a firewall or NetworkPolicy rejects them, at the endpoint or \
                                     on its node, whose address NAT replaces on the way back"
                    .to_owned()
            }
            Self::Rule => {
                "met ICMP \"port unreachable\", or nothing: a rule on the endpoint's node rejects them".to_owned()
            }
            Self::Gone => "met ICMP \"unreachable\": no pod has the address any more".to_owned(),
            Self::Silence => "were never answered".to_owned(),
        }
    }

    /// What to do about it, where that is not to take the address out of the service; `at` is the endpoint, if it is known.
    pub(super) fn advise(&self, finding: &mut Finding, at: Option<Addr>) {
        let at = at.map_or_else(|| "ADDRESS".to_owned(), |at| at.to_string());
        let (text, command) = match self {
            Self::Reset(_) => (
                "See whether the process of that pod runs and listens on the Service's targetPort. Give the pods a readiness \
                 probe, so that one that does not listen is taken out of the service.",
                "kubectl exec POD -- ss -ltn".to_owned(),
            ),
            Self::Firewall(_) | Self::Rule => (
                "Find the rule on the endpoint's node, or in its pod, that rejects what the others take: a NetworkPolicy, a \
                 host firewall.",
                format!("iptables-save | grep -e REJECT -e {at}"),
            ),
            Self::Gone => return,
            Self::Silence => (
                "See whether a pod still has the address. If none has, remove it from the service: see whether the \
                 EndpointSlice and the node's rules still follow the API, and give the pods a readiness probe. If one has, \
                 find what drops on the way to it: a NetworkPolicy, a host firewall, its node's network.",
                "kubectl get networkpolicy -A -o yaml".to_owned(),
            ),
        };
        text.clone_into(&mut finding.fix.text);
        finding.fix.commands.push(command);
    }
}
