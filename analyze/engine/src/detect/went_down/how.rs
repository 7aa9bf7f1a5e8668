//! How servers go down.

use super::super::backend_reset::{ABOUT, Attempt};
use super::super::services::Service;
use super::super::{About, connect_refused, connect_rejected, connect_timeout, no_endpoints, no_route};
use super::addresses;
use crate::track::Endpoint;

/// An error that comes so soon was not waited for.
const AT_ONCE_NS: i64 = 20_000_000;

/// How a server went down.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum How {
    /// Its host refuses.
    Refuses,
    /// It refuses what is new, and earlier connections go on.
    Closed,
    /// Its host is silent, or others say that it cannot be reached.
    #[default]
    Gone,
    /// Something drops what is new.
    Filtered,
    /// The clients' node drops it.
    Held,
    /// A node says that there are no endpoints.
    Empty,
    /// Something on the way forbids it.
    Forbidden,
    /// Something on the way knows no route.
    NoRoute,
}

impl How {
    pub(super) fn about(self) -> &'static About {
        match self {
            Self::Refuses | Self::Gone => &ABOUT,
            Self::Closed => &connect_refused::ABOUT,
            Self::Filtered | Self::Held => &connect_timeout::ABOUT,
            Self::Empty => &no_endpoints::ABOUT,
            Self::Forbidden => &connect_rejected::ABOUT,
            Self::NoRoute => &no_route::ABOUT,
        }
    }

    /// What ICMP errors say, if there are any.
    pub(super) fn told(failed: &[Attempt], service: &Service) -> Option<Self> {
        let of_these = |orig: Endpoint| failed.iter().any(|at| at.orig == orig);
        let failures = service.attempts.failures.iter().filter(|failure| of_these(failure.orig));
        let mut told = failures.clone().filter_map(|failure| Some((failure.rejection?, failure.passed_on)));
        let (rejection, passed_on) = told.next()?;
        // Who asks for a neighbour in vain gives up after three seconds; who has no route says so at once.
        let mut waits = failures.filter_map(|failure| Some(failure.rejection?.ns - failure.span_ns.0));
        let at_once = waits.all(|ns| ns < AT_ONCE_NS);
        let by_itself = addresses(service).any(|at| at.addr == rejection.from);
        Some(match (rejection.icmp.v4, rejection.icmp.kind, rejection.icmp.code) {
            _ if rejection.icmp.is_port_unreachable() && !by_itself && !passed_on => Self::Empty,
            (true, 3, 0) | (false, 1, 0) => Self::NoRoute,
            _ if rejection.icmp.is_host_unreachable() && at_once => Self::NoRoute,
            _ if rejection.icmp.is_no_route() => Self::Gone,
            _ => Self::Forbidden,
        })
    }
}
