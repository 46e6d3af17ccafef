//! What of an open session has to outlive the node that has it: what both sides agreed on.
//!
//! Only a session over which IP may pass has an image: before that nothing is lost when LCP begins anew.
//! Left out, for a session does without it: identifiers, which begin anew at random; what was refused on
//! the way; the text of the last answer; unanswered Echo-Requests, which are counted anew.

use core::net::Ipv4Addr;
use core::ops::Add as _;
use core::time::Duration;
use std::sync::Arc;

use lns_crypto::Rng;
use lns_tables::time::Instant;
use lns_wire::Reader;
use lns_wire::ppp::{Code, Frame, Framing, Packet, Protocol};

use super::{Phase, Session};
use crate::auth::Authentication;
use crate::config::{AuthMethod, Config};
use crate::event::{GrantedAddress, LcpParameters, Parameters};
use crate::ipcp::Ipcp;
use crate::layer::Layer;
use crate::lcp::{Lcp, Peer};
use crate::limits;
use crate::link::{Link, NEVER};
use crate::output::Output;

/// What is left of an open session without its node.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SessionImage {
    /// Our magic number; 0: none.
    pub magic: u32,
    /// What the peer may send at most, octets; `None`: it would not be asked.
    pub mru: Option<u16>,
    /// How the peer has said who it is.
    pub method: AuthMethod,
    /// The name that it gave.
    pub name: Box<[u8]>,
    /// The longest information field that the peer takes, octets.
    pub peer_mru: u16,
    /// The peer takes frames without FF03.
    pub acfc: bool,
    /// The peer takes protocol fields of one octet.
    pub pfc: bool,
    /// The LAC negotiated this LCP.
    pub proxied: bool,
    /// Our end.
    pub local: Ipv4Addr,
    /// What the peer may have.
    pub grant: GrantedAddress,
    /// The name servers for it.
    pub dns: [Option<Ipv4Addr>; 2],
    /// What it was given, as we acknowledged it last.
    pub address: Option<Ipv4Addr>,
    /// When it is to be asked again who it is, from the moment of the image.
    pub rechallenge: Option<Duration>,
}

impl SessionImage {
    /// What the datapath needs.
    pub const fn parameters(&self) -> Parameters {
        Parameters {
            address: self.address,
            local: self.local,
            dns: self.dns,
            mru: self.peer_mru,
            acfc: self.acfc,
            pfc: self.pfc,
        }
    }

    /// What LCP has agreed on.
    pub fn lcp(&self) -> LcpParameters {
        LcpParameters {
            authentication: self.method,
            peer_mru: self.peer_mru,
            local_mru: self.mru.unwrap_or(limits::DEFAULT_MRU),
            proxied: self.proxied,
        }
    }

    /// Answers an LCP Echo-Request as the session would that this is the image of (RFC 1661, 5.8). `false`:
    /// the frame is none, or the session would do something else with it, for it has our own magic number.
    pub fn answer_echo(&self, frame: &[u8], now: Instant, out: &mut Output) -> bool {
        let lcp = Frame::parse(frame).ok();
        let lcp = lcp.filter(|frame| frame.protocol == Protocol::LCP);
        let packet = lcp.and_then(|frame| Packet::parse(frame.information).ok());
        let Some(packet) = packet.filter(|packet| packet.code == Code::ECHO_REQUEST) else {
            return false;
        };
        let mut reader = Reader::new(packet.data);
        let is_ours = |magic| self.magic != 0 && self.magic == magic;
        if reader.u32().map_or(true, is_ours) {
            return false;
        }
        let mut link = Link {
            now,
            frames: &mut out.frames,
            framing: Framing {
                acfc: self.acfc,
                pfc: self.pfc,
            },
            mtu: self.peer_mru,
        };
        let data = link.fitting(reader.rest(), size_of::<u32>());
        link.send(Protocol::LCP, Code::ECHO_REPLY, packet.id, |out| {
            out.extend_from_slice(&self.magic.to_be_bytes());
            out.extend_from_slice(data);
        });
        true
    }
}

impl Session {
    /// What is to outlive the node; `None`: nothing, for IP may not pass.
    pub fn image(&self, now: Instant) -> Option<SessionImage> {
        if !self.open {
            return None;
        }
        let (lcp, ipcp) = (&self.lcp.options, &self.ipcp.options);
        let rechallenge = self.authentication.deadline();
        Some(SessionImage {
            magic: lcp.magic,
            mru: lcp.mru,
            method: lcp.method,
            name: self.authentication.name().into(),
            peer_mru: lcp.peer.mru,
            acfc: lcp.peer.framing.acfc,
            pfc: lcp.peer.framing.pfc,
            proxied: self.proxied,
            local: ipcp.local,
            grant: ipcp.grant,
            dns: ipcp.dns,
            address: ipcp.address,
            rechallenge: (rechallenge != NEVER).then(|| rechallenge.since(now)),
        })
    }

    /// The session of an image: it is open, and its peer was heard just now. He is asked within one interval and two:
    /// whoever restores very many sessions at once asks not all of them at once.
    pub fn restore(config: &Arc<Config>, image: SessionImage, now: Instant, rng: &mut Rng) -> Self {
        let [lcp_id, ipcp_id, auth_id, id] = rng.array();
        let mut lcp = Lcp::new(config, rng);
        lcp.magic = image.magic;
        lcp.mru = image.mru;
        lcp.method = image.method;
        lcp.peer = Peer {
            mru: image.peer_mru,
            framing: Framing {
                acfc: image.acfc,
                pfc: image.pfc,
            },
        };
        let mut ipcp = Ipcp::new(config);
        ipcp.local = image.local;
        ipcp.grant = image.grant;
        ipcp.dns = image.dns;
        ipcp.address = image.address;
        let rechallenge = image.rechallenge.map_or(NEVER, |rest| now.add(rest));
        Self {
            config: Arc::clone(config),
            lcp: Layer::opened(lcp, lcp_id),
            authentication: Authentication::accepted(
                image.method,
                image.name,
                rechallenge,
                auth_id,
            ),
            ipcp: Layer::opened(ipcp, ipcp_id),
            waiting: None,
            phase: Phase::Network,
            open: true,
            proxied: image.proxied,
            reason: None,
            id,
            echoes: 0,
            heard: now,
            bring_up: NEVER,
            echo: config.echo.map_or(NEVER, |echo| {
                let share = echo.interval.saturating_mul(u32::from(rng.u16()));
                let later = share.checked_div(1 << 16).unwrap_or_default();
                now.add(echo.interval.saturating_add(later))
            }),
        }
    }
}
