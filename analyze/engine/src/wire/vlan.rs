//! IEEE 802.1Q tags, single or stacked (802.1ad).

use super::ethernet::type_or_length;
use super::layers::Layer;
use super::walk::{Step, Walk};
use etherparse::SingleVlanHeaderSlice;

#[inline]
pub(super) fn decode(walk: &mut Walk<'_>) -> Step {
    let header = SingleVlanHeaderSlice::from_slice(walk.bytes()).map_err(|_| walk.short(Layer::Vlan))?;
    walk.enter(Layer::Vlan, header.slice().len())?;
    type_or_length(header.ether_type().0, walk)
}
