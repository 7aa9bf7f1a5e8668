use serde::Serialize;

/// Facts about a frame that the truth counts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(super) struct Tags(u32);

macro_rules! tags {
    ($($name:ident = $bit:literal, $field:ident, $doc:literal;)*) => {
        impl Tags {
            $(#[doc = $doc] pub(super) const $name: Self = Self(1 << $bit);)*
        }

        /// What a generated capture holds.
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
        pub struct Truth {
            /// Frames.
            pub packets: u64,
            /// Bytes of the file.
            pub file_bytes: u64,
            /// Time from the first frame to the last, milliseconds.
            pub duration_ms: u64,
            $(#[doc = $doc] pub $field: u64,)*
        }

        impl Truth {
            pub(super) fn count(&mut self, tags: Tags) {
                self.packets += 1;
                $(self.$field += u64::from(tags.has(Tags::$name));)*
            }
        }
    };
}

tags! {
    VXLAN = 0, vxlan_frames, "Frames in VXLAN.";
    IPV6 = 1, ipv6_frames, "Frames whose innermost packet is IPv6.";
    DNS = 2, dns_frames, "DNS messages.";
    NXDOMAIN = 3, dns_nxdomain, "DNS answers that say NXDOMAIN.";
    QUERY = 4, dns_queries, "DNS queries, resent ones included.";
    DNS_RESENT = 5, dns_resent, "DNS queries sent again because no answer came.";
    RETRANSMIT_SEEN = 6, retransmits_original_seen, "Segments sent again whose first copy is in the capture (lost behind it).";
    RETRANSMIT_UNSEEN = 7, retransmits_original_unseen, "Segments sent again whose first copy was lost before the capture, behind later ones.";
    RETRANSMIT_HIDDEN = 18, retransmits_hidden, "As before, but nothing later was seen: to the capture they look like first copies.";
    REORDERED = 8, reordered, "Segments that arrive behind a later one.";
    NEW_TCP = 9, tcp_connections, "TCP connections that begin with their SYN, each translated one once.";
    MIDSTREAM = 10, tcp_midstream, "TCP connections that were open before the capture.";
    NEW_UDP = 11, udp_flows, "UDP flows, by client port.";
    NAT = 12, nat_connections, "Connections seen before and behind address translation.";
    FRAGMENTED = 13, fragmented_datagrams, "Datagrams that came in fragments.";
    FRAGMENT = 14, fragments, "Fragments.";
    REFUSED = 15, tcp_refused, "Connections answered by a reset.";
    UNANSWERED = 16, tcp_unanswered, "Connections that got no answer.";
    RESET = 17, tcp_reset, "Established connections that ended in a reset.";
}

impl Tags {
    pub(super) fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl std::ops::BitOr for Tags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}
