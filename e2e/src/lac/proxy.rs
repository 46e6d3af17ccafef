//! What a LAC that has talked to the subscriber first hands over: the LCP options that were agreed
//! and the subscriber's credentials (RFC 2661, 4.4.5).

use lns_crypto::{Rng, chap};
use lns_wire::l2tp::{Attribute, Concealed, ProxyAuthenType};
use lns_wire::ppp::lcp::{AuthenticationProtocol, LcpOption, algorithm};

use super::options::{Authentication, Profile};

/// Proxy Authen Types (RFC 2661, 4.4.5).
const PPP_CHAP: ProxyAuthenType = ProxyAuthenType(2);
const PPP_PAP: ProxyAuthenType = ProxyAuthenType(3);
const NONE: ProxyAuthenType = ProxyAuthenType(4);
/// The identifier of the exchange between LAC and subscriber.
const ID: u8 = 0x2a;

/// The values of the proxy AVPs of one call.
#[derive(Debug)]
pub(crate) struct Values {
    sent: Vec<u8>,
    received: Vec<u8>,
    kind: ProxyAuthenType,
    name: Vec<u8>,
    challenge: Vec<u8>,
    response: Vec<u8>,
}

impl Values {
    /// As if the LAC had asked `user` for `method`.
    pub(crate) fn new(
        method: Authentication,
        user: &str,
        profile: &Profile,
        rng: &mut Rng,
    ) -> Self {
        let asked = match method {
            Authentication::Pap => Some(AuthenticationProtocol::Pap),
            Authentication::Chap => Some(AuthenticationProtocol::Chap(algorithm::MD5)),
            Authentication::Mschapv2 => Some(AuthenticationProtocol::Chap(algorithm::MS_CHAP_V2)),
            Authentication::Any | Authentication::Eap | Authentication::None => None,
        };
        let mut sent = Vec::new();
        LcpOption::Mru(profile.mru).emit(&mut sent);
        if let Some(protocol) = asked {
            LcpOption::Authentication(protocol).emit(&mut sent);
        }
        LcpOption::Magic(rng.u32() | 1).emit(&mut sent);
        let mut received = Vec::new();
        LcpOption::Mru(profile.mru).emit(&mut received);
        LcpOption::Magic(rng.u32() | 1).emit(&mut received);

        let challenge: [u8; 16] = rng.array();
        let password = &profile.password;
        let (kind, challenge, response) = match method {
            Authentication::Pap => (PPP_PAP, Vec::new(), password.expose().to_vec()),
            Authentication::Chap => {
                let response = chap::response(ID, password, &challenge);
                (PPP_CHAP, challenge.to_vec(), response.to_vec())
            }
            Authentication::Any
            | Authentication::Mschapv2
            | Authentication::Eap
            | Authentication::None => (NONE, Vec::new(), Vec::new()),
        };
        Self {
            sent,
            received,
            kind,
            name: user.as_bytes().to_vec(),
            challenge,
            response,
        }
    }

    /// Appends the AVPs to those of an ICCN.
    pub(crate) fn append_to<'a>(&'a self, attributes: &mut Vec<Attribute<'a>>) {
        attributes.extend([
            Attribute::InitialReceivedLcp(&self.received),
            Attribute::LastSentLcp(&self.sent),
            Attribute::LastReceivedLcp(&self.received),
            Attribute::ProxyAuthenType(self.kind),
        ]);
        if self.kind == NONE {
            return;
        }
        attributes.push(Attribute::ProxyAuthenName(&self.name));
        if !self.challenge.is_empty() {
            attributes.push(Attribute::ProxyAuthenChallenge(&self.challenge));
        }
        attributes.extend([
            Attribute::ProxyAuthenId(ID),
            Attribute::ProxyAuthenResponse(Concealed(&self.response)),
        ]);
    }
}
