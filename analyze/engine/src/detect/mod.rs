//! Findings: judgements over facts, each with its evidence. Detect judges and never parses.

mod acquaintances;
mod answers;
mod asymmetric_path;
mod attempts;
mod backend_removed;
mod backend_reset;
mod behind;
pub(crate) mod capture_drops;
mod capture_incomplete;
mod cluster_ip_on_wire;
mod connect_refused;
mod connect_rejected;
mod connect_timeout;
mod connection_limit;
mod conntrack_expired;
mod conntrack_full;
mod cpu_throttle;
mod dead_peer;
mod dns;
mod dns_cacheable_repeats;
mod dns_name_missing;
mod dns_negative_cache;
mod dropped_requests;
mod duplicate_ip;
mod endpoint_outlier;
pub(crate) mod evidence;
pub(crate) mod found;
mod fragment_loss;
mod fragments;
mod gateway_errors;
mod hairpin_broken;
mod idle_reset;
mod keepalive_race;
mod last_seen;
mod latent_mtu;
mod listen_overflow;
mod lookups;
mod losses;
mod lost_at_nat;
mod lost_syns;
mod lot;
mod mtu_black_hole;
mod mtu_mismatch;
mod nearer;
mod no_endpoints;
mod no_route;
mod nodeport_unanswered;
mod overlay;
mod overlay_checksum;
mod overlay_down;
mod overlay_fragmentation;
mod overlay_one_way;
mod packet_duplication;
mod packet_loss;
mod passed;
mod path_mtu;
mod pmtu_not_translated;
mod port_reuse;
mod refused_for_a_while;
mod reordering;
mod search_amplification;
mod searched_fqdn;
mod services;
mod silent_for_a_while;
mod slow_network;
mod slow_server;
mod snat_port_exhaustion;
mod snat_port_race;
mod stale_endpoint;
mod stall_groups;
mod strangers;
mod stuck_at_nat;
mod sweeps;
mod syn_ack_lost;
mod ties;
mod times;
mod tls_failure;
mod turns;
mod unnatted_reply;
mod unreachable_end;
pub(crate) mod vantage;
mod vni_mismatch;
mod went_down;
pub(crate) mod what_if;
mod wireguard_no_handshake;
pub(crate) mod world;
mod zero_window;

pub(crate) use attempts::{Counts, Outcome};
pub(crate) use lookups::ClientLookups;

use crate::finding::{Finding, Fix, Severity};
use std::collections::BTreeMap;
use world::World;

/// What a detector is, in words; one text serves `kcap explain`, the reports and the documentation.
#[derive(Clone, Copy)]
pub struct About {
    /// Code of the catalogue; never changed, never used again.
    pub code: &'static str,
    /// Code in words.
    pub slug: &'static str,
    /// One line.
    pub title: &'static str,
    /// Default severity.
    pub severity: Severity,
    /// What happens.
    pub what: &'static str,
    /// Why it matters.
    pub why: &'static str,
    /// How it is decided from packets.
    pub how: &'static str,
    /// What looks like it and is not, and how that is told.
    pub false_positives: &'static str,
    /// What to do.
    pub fix: &'static str,
    /// Wireshark display filter that shows it.
    pub filter: &'static str,
    /// Judges: the findings, given the world and the findings of detectors before it.
    pub(crate) judge: fn(&World<'_>) -> Vec<Finding>,
}

/// All detectors, in order of precedence: a cause comes before the symptoms it explains.
pub const DETECTORS: &[About] = &[
    capture_drops::ABOUT,
    capture_incomplete::ABOUT,
    duplicate_ip::ABOUT,
    vni_mismatch::ABOUT,
    overlay_checksum::ABOUT,
    overlay_one_way::ABOUT,
    overlay_down::ABOUT,
    wireguard_no_handshake::ABOUT,
    fragment_loss::ABOUT,
    pmtu_not_translated::ABOUT,
    mtu_black_hole::ABOUT,
    mtu_mismatch::ABOUT,
    overlay_fragmentation::ABOUT,
    latent_mtu::ABOUT,
    conntrack_full::ABOUT,
    snat_port_exhaustion::ABOUT,
    snat_port_race::ABOUT,
    unnatted_reply::ABOUT,
    conntrack_expired::ABOUT,
    backend_removed::ABOUT,
    port_reuse::ABOUT,
    hairpin_broken::ABOUT,
    dns::upstream::ABOUT,
    dns::conntrack_race::ABOUT,
    dns::stale_backend::ABOUT,
    dns::rate_limited::ABOUT,
    dns::family::ABOUT,
    dns::blocked::ABOUT,
    dns::server_down::ABOUT,
    dns::loss::ABOUT,
    dns::servfail::ABOUT,
    dns::refused::ABOUT,
    dns::slow::ABOUT,
    dns::tcp_blocked::ABOUT,
    dns::truncation::ABOUT,
    stale_endpoint::ABOUT,
    endpoint_outlier::ABOUT,
    no_route::ABOUT,
    no_endpoints::ABOUT,
    cluster_ip_on_wire::ABOUT,
    connect_rejected::ABOUT,
    connect_refused::ABOUT,
    nodeport_unanswered::ABOUT,
    syn_ack_lost::ABOUT,
    listen_overflow::ABOUT,
    connect_timeout::ABOUT,
    backend_reset::ABOUT,
    keepalive_race::ABOUT,
    dropped_requests::ABOUT,
    asymmetric_path::ABOUT,
    packet_loss::ABOUT,
    reordering::ABOUT,
    packet_duplication::ABOUT,
    slow_network::ABOUT,
    tls_failure::ABOUT,
    idle_reset::ABOUT,
    dead_peer::ABOUT,
    dns_cacheable_repeats::ABOUT,
    dns_name_missing::ABOUT,
    dns_negative_cache::ABOUT,
    search_amplification::ABOUT,
    searched_fqdn::ABOUT,
    zero_window::ABOUT,
    slow_server::ABOUT,
    gateway_errors::ABOUT,
    cpu_throttle::ABOUT,
];

/// Findings kept of one detector; the report says how many more there were.
pub(crate) const MAX_FINDINGS: usize = 20;

impl Finding {
    /// A finding of this kind, its details still to be filled.
    pub(crate) fn of(about: &About, title: String) -> Self {
        Self {
            code: about.code,
            slug: about.slug,
            severity: about.severity,
            confidence: 0.9,
            title,
            subjects: Vec::new(),
            first: String::new(),
            last: String::new(),
            counts: BTreeMap::new(),
            evidence: Vec::new(),
            explanation: String::new(),
            ruled_out: Vec::new(),
            limits: Vec::new(),
            fix: Fix { text: about.fix.to_owned(), ..Fix::default() },
            capture_next: None,
        }
    }
}
