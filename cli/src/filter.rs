//! Filter expressions over outer frames, compiled by libpcap.

use kcap_analyze::FrameFilter;
use kcap_file::LinkType;
use std::sync::{Arc, Mutex};

/// Why an expression cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FilterError {
    /// libpcap does not understand it.
    #[cfg(feature = "libpcap")]
    #[error("filter {expression:?}")]
    Compile {
        /// The expression.
        expression: String,
        /// What libpcap says.
        source: pcap::Error,
    },
    /// kcap was built without libpcap.
    #[cfg(not(feature = "libpcap"))]
    #[error("filter {expression:?}: this kcap was built without libpcap")]
    Unsupported {
        /// The expression.
        expression: String,
    },
}

/// Link types of the capture that the expression does not suit, and what libpcap says; no frame of theirs matches.
pub(crate) type Unsuited = Arc<Mutex<Vec<(LinkType, String)>>>;

/// The expression as a filter, refused when it suits no common link type, so that a wrong one is known before anything
/// is read.
pub(crate) fn compile(expression: &str, unsuited: &Unsuited) -> Result<Box<dyn FrameFilter>, FilterError> {
    imp::compile(expression, unsuited)
}

#[cfg(not(feature = "libpcap"))]
mod imp {
    use super::{FilterError, FrameFilter, Unsuited};

    pub(super) fn compile(expression: &str, _: &Unsuited) -> Result<Box<dyn FrameFilter>, FilterError> {
        Err(FilterError::Unsupported { expression: expression.to_owned() })
    }
}

#[cfg(feature = "libpcap")]
mod imp;
