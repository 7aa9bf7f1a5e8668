//! Servers that went away at once: one fault, of their node, the way to it or a rule.

use super::super::services::Service;
use super::super::ties::united;
use super::Down;
use super::how::How;
use crate::Addr;
use std::collections::BTreeSet;

/// What begins within this time begins at once.
const AT_ONCE_NS: i64 = 1_000_000_000;

/// Services that went down, those together that went away at once for the same clients.
pub(super) fn together(mut downs: Vec<(Service, Down)>) -> Vec<(Service, Down)> {
    downs.sort_by_key(|(service, down)| (service.server.port, down.first_ns(), service.server));
    let pairs = (1..downs.len()).filter(|at| are_one(&downs[at - 1], &downs[*at])).map(|at| (at - 1, at));
    let pairs: Vec<(usize, usize)> = pairs.collect();
    united(downs, pairs).into_iter().filter_map(|of| of.into_iter().reduce(with)).collect()
}

fn are_one((service, down): &(Service, Down), (other, later): &(Service, Down)) -> bool {
    let gone = |down: &Down| down.how == How::Gone && !down.dealt_out && !down.others;
    let alike = gone(down) && gone(later) && service.server.port == other.server.port;
    alike && later.first_ns() - down.first_ns() < AT_ONCE_NS && !down.clients().is_disjoint(&later.clients())
}

fn with((service, mut down): (Service, Down), (other, more): (Service, Down)) -> (Service, Down) {
    down.with.extend([other.server].into_iter().chain(other.behind));
    down.worked.extend(more.worked);
    down.worked.sort_unstable();
    down.failed.extend(more.failed);
    down.failed.sort_unstable();
    down.cut += more.cut;
    down.cut_until_ns = down.cut_until_ns.max(more.cut_until_ns);
    down.alive += more.alive;
    down.at_once &= more.at_once;
    (service, down)
}

impl Down {
    fn first_ns(&self) -> i64 {
        self.failed.first().map_or(0, |at| at.ns)
    }

    fn clients(&self) -> BTreeSet<Addr> {
        self.failed.iter().map(|at| at.orig.addr).collect()
    }
}
