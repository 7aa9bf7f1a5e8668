//! `udp/8473=vxlan`: what the user says is on a port.

use super::TunnelKind;
use std::str::FromStr;

/// One `--decode-as` argument.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DecodeAs {
    /// UDP destination port.
    pub port: u16,
    /// The tunnel that is on it.
    pub kind: TunnelKind,
}

/// Why a `--decode-as` argument cannot be taken.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DecodeAsError {
    /// It has not the form.
    #[error("decode-as {argument:?} is not of the form udp/PORT=TUNNEL, as in udp/8473=vxlan")]
    Form {
        /// The argument.
        argument: Box<str>,
    },
    /// The port is no port.
    #[error("decode-as {argument:?}: the port is not a number from 1 to 65535")]
    Port {
        /// The argument.
        argument: Box<str>,
    },
    /// The tunnel is unknown, or none that UDP carries.
    #[error("decode-as {argument:?}: the tunnel is not one of vxlan, vxlan-gpe, geneve, gre, wireguard")]
    Tunnel {
        /// The argument.
        argument: Box<str>,
    },
}

/// The tunnels that UDP carries.
const OVER_UDP: [TunnelKind; 5] =
    [TunnelKind::Vxlan, TunnelKind::VxlanGpe, TunnelKind::Geneve, TunnelKind::Gre, TunnelKind::WireGuard];

impl FromStr for DecodeAs {
    type Err = DecodeAsError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let argument = || text.into();
        let parts = text.strip_prefix("udp/").and_then(|rest| rest.split_once('='));
        let (port, tunnel) = parts.ok_or_else(|| DecodeAsError::Form { argument: argument() })?;
        let port = port.parse().ok().filter(|port| *port != 0);
        let port = port.ok_or_else(|| DecodeAsError::Port { argument: argument() })?;
        let kind = OVER_UDP.into_iter().find(|kind| kind.name() == tunnel);
        let kind = kind.ok_or_else(|| DecodeAsError::Tunnel { argument: argument() })?;
        Ok(Self { port, kind })
    }
}

impl From<DecodeAs> for (u16, TunnelKind) {
    fn from(spec: DecodeAs) -> Self {
        (spec.port, spec.kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_port_and_tunnel() {
        assert_eq!("udp/8473=vxlan".parse(), Ok(DecodeAs { port: 8473, kind: TunnelKind::Vxlan }));
        assert_eq!("udp/51820=wireguard".parse(), Ok(DecodeAs { port: 51820, kind: TunnelKind::WireGuard }));
    }

    #[test]
    fn refuses_other_forms() {
        let error = |text: &str| text.parse::<DecodeAs>().expect_err(text);
        for text in ["", "8473=vxlan", "tcp/8473=vxlan", "udp/8473"] {
            assert!(matches!(error(text), DecodeAsError::Form { .. }), "{text}");
        }
        for text in ["udp/0=vxlan", "udp/65536=vxlan", "udp/=vxlan", "udp/x=vxlan"] {
            assert!(matches!(error(text), DecodeAsError::Port { .. }), "{text}");
        }
        for text in ["udp/8473=ipip", "udp/8473=", "udp/8473=VXLAN"] {
            assert!(matches!(error(text), DecodeAsError::Tunnel { .. }), "{text}");
        }
    }
}
