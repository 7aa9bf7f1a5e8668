use std::fmt;

/// A link-layer header type as capture files number it
/// (<https://www.tcpdump.org/linktypes.html>).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct LinkType(pub u16);

macro_rules! link_types {
    ($($name:ident = $value:literal, $text:literal;)*) => {
        impl LinkType {
            $(#[doc = concat!("`", $text, "`")] pub const $name: Self = Self($value);)*

            /// The registered name without `LINKTYPE_`, or nothing when this crate does not know it.
            pub fn name(self) -> Option<&'static str> {
                match self {
                    $(Self::$name => Some($text),)*
                    _ => None,
                }
            }
        }
    };
}

link_types! {
    NULL = 0, "NULL";
    ETHERNET = 1, "ETHERNET";
    PPP = 9, "PPP";
    // What OpenBSD and some tools wrote for raw IP before 101 was assigned.
    RAW_12 = 12, "RAW";
    RAW_14 = 14, "RAW";
    PPP_HDLC = 50, "PPP_HDLC";
    RAW = 101, "RAW";
    C_HDLC = 104, "C_HDLC";
    IEEE802_11 = 105, "IEEE802_11";
    LOOP = 108, "LOOP";
    LINUX_SLL = 113, "LINUX_SLL";
    IEEE802_11_RADIOTAP = 127, "IEEE802_11_RADIOTAP";
    IPV4 = 228, "IPV4";
    IPV6 = 229, "IPV6";
    NFLOG = 239, "NFLOG";
    LINUX_SLL2 = 276, "LINUX_SLL2";
}

impl fmt::Display for LinkType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "linktype {}", self.0),
        }
    }
}
