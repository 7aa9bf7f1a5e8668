//! What messages of a conversation say.

use super::Talk;
use crate::wire::app::{self, Part, Protocol, Said, Traits};

/// A conversation of which so many messages said nothing is in no protocol that is known.
const GIVE_UP: u8 = 16;

impl Talk {
    /// What a message says, where its protocol is known.
    pub(super) fn label(&mut self, part: Part, bytes: &[u8]) -> Option<Said> {
        if self.unknown >= GIVE_UP {
            return None;
        }
        let Some((protocol, said)) = app::read(self.protocol, part, bytes) else {
            self.unknown += u8::from(self.protocol == Protocol::Unknown);
            return None;
        };
        self.unknown = 0;
        if protocol == Protocol::Tls {
            self.greet(part, &said);
        }
        self.protocol = protocol;
        Some(said)
    }

    /// What hellos of TLS tell about what follows; where they were not seen, nothing is known.
    fn greet(&mut self, part: Part, said: &Said) {
        let hello = said.traits.has(Traits::HELLO);
        match part {
            Part::Client if hello => {
                self.host = said.text.clone();
                self.interleaves = said.traits.has(Traits::INTERLEAVES);
            }
            Part::Server if hello && said.traits.has(Traits::SETTLED) => {
                self.interleaves = said.traits.has(Traits::INTERLEAVES);
            }
            _ => self.interleaves |= self.protocol == Protocol::Unknown,
        }
    }
}
