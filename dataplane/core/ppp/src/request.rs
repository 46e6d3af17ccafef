//! A subscriber's claim to be somebody, in a form that local passwords and RADIUS can both judge.

use lns_crypto::{Secret, chap, mschapv2};
use lns_wire::ppp::MsChapV2Response;

use crate::config::AuthMethod;

/// Who a subscriber says it is, and how it means to prove it.
#[derive(Debug, Eq, PartialEq)]
pub struct AuthRequest {
    /// As the subscriber sent it, at most 253 octets; may be empty.
    pub name: Box<[u8]>,
    /// The proof.
    pub credentials: Credentials,
    /// The LAC overheard it; we asked nothing.
    pub proxied: bool,
    /// The session is open and was challenged again.
    pub repeated: bool,
}

impl AuthRequest {
    /// Whether the credentials prove knowledge of `password`. Compares in constant time once the
    /// lengths agree. [`Credentials::None`] proves nothing and is never right, and neither is
    /// [`Credentials::Eap`], which only a RADIUS server understands.
    pub fn verify(&self, password: &Secret) -> Option<Acceptance> {
        match &self.credentials {
            Credentials::None | Credentials::Eap { .. } => None,
            Credentials::Pap { password: sent } => {
                (sent == password).then_some(Acceptance::default())
            }
            Credentials::Chap {
                id,
                challenge,
                response,
            } => chap::verify(*id, password, challenge, response).then_some(Acceptance::default()),
            Credentials::MsChapV2 {
                challenge,
                response,
                ..
            } => {
                let exchange = mschapv2::Exchange {
                    authenticator_challenge: challenge,
                    peer_challenge: &response.peer_challenge,
                    user_name: &self.name,
                };
                exchange
                    .verify(password, &response.nt_response)
                    .map(|proof| Acceptance {
                        authenticator_response: Some(proof),
                    })
            }
        }
    }

    /// The method that the credentials belong to.
    pub const fn method(&self) -> AuthMethod {
        match self.credentials {
            Credentials::None => AuthMethod::None,
            Credentials::Pap { .. } => AuthMethod::Pap,
            Credentials::Chap { .. } => AuthMethod::Chap,
            Credentials::MsChapV2 { .. } => AuthMethod::MsChapV2,
            Credentials::Eap { .. } => AuthMethod::Eap,
        }
    }
}

/// How a subscriber proves who it is.
#[derive(Debug, Eq, PartialEq)]
pub enum Credentials {
    /// It was not asked to.
    None,
    /// The password itself (RFC 1334).
    Pap {
        /// As sent; may be empty.
        password: Secret,
    },
    /// A digest over a challenge (RFC 1994).
    Chap {
        /// The identifier that went into the digest.
        id: u8,
        /// What was digested; 16 octets when it is ours, 1 to 255 when it is a LAC's.
        challenge: Box<[u8]>,
        /// The digest.
        response: [u8; 16],
    },
    /// MS-CHAPv2 (RFC 2759).
    MsChapV2 {
        /// The identifier of the exchange; RADIUS wants it back.
        id: u8,
        /// Our challenge.
        challenge: [u8; 16],
        /// The response value.
        response: MsChapV2Response,
    },
    /// One answer of an EAP conversation (RFC 3748).
    Eap {
        /// The whole packet, as it goes into EAP-Message. It may hold a password.
        message: Secret,
    },
}

/// What a successful proof gives.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Acceptance {
    /// MS-CHAPv2's "S=" and 40 hexadecimal digits: that we know the password too (RFC 2759, 5).
    pub authenticator_response: Option<[u8; 42]>,
}
