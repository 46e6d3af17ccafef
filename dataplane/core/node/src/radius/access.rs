//! What an Access-Request says (RFC 2865, 4.1; RFC 2548, 2.3; RFC 3579, 3.1): who the subscriber says he
//! is and how he proves it. The line he comes from is described in `line`.
//!
//! User-Password is not among the attributes: it is hidden anew for each connection, by the client.

use lns_crypto::Secret;
use lns_ppp::{AuthRequest, Credentials};
use lns_radius::request::{Request, Token, balance_key};
use lns_tables::path::SlotIndex;
use lns_tables::time::Instant;
use lns_wire::radius::kind::{self, vendor};
use lns_wire::radius::{AttributeList, Code, EmitError};

use super::line;
use super::question::Dialogue;
use crate::limits;
use crate::rejection::Rejection;
use crate::session::Session;
use crate::tunnels::Link;

/// The question whether a subscriber may come in.
///
/// # Errors
/// Why it cannot be asked: the subscriber stays out.
pub(super) fn request(
    token: Token,
    slot: SlotIndex,
    (session, link): (&Session, &Link),
    claim: &AuthRequest,
    dialogue: Option<&Dialogue>,
    now: Instant,
) -> Result<Request, Rejection> {
    if claim.name.is_empty() {
        return Err(Rejection::NoName);
    }
    let mut attributes = AttributeList::new();
    line::push_octets(&mut attributes, kind::USER_NAME, &claim.name);
    let password = push_proof(&mut attributes, claim, session)?;
    if let Some(state) = dialogue.and_then(|dialogue| dialogue.state.as_deref()) {
        line::push_octets(&mut attributes, kind::STATE, state);
    }
    attributes.push_u32(kind::NAS_PORT, slot.0);
    line::push(&mut attributes, session, link);
    Ok(Request {
        token,
        code: Code::ACCESS_REQUEST,
        attributes,
        password,
        realm: line::realm(&claim.name),
        key: balance_key(&claim.name),
        happened: now,
        server: dialogue.and_then(|dialogue| dialogue.server.clone()),
    })
}

/// How the subscriber proves who he is. What is to be hidden comes back.
fn push_proof(
    list: &mut AttributeList,
    claim: &AuthRequest,
    session: &Session,
) -> Result<Option<Secret>, Rejection> {
    // No value here is longer than an attribute holds: what PPP lets in, and our own, is not.
    let fits = |result: Result<(), EmitError>| {
        result.map_err(|_| Rejection::Malformed("a credential that fits no attribute".into()))
    };
    match &claim.credentials {
        Credentials::None => {}
        Credentials::Pap { password } if password.expose().len() > limits::USER_PASSWORD => {
            return Err(Rejection::PasswordTooLong);
        }
        Credentials::Pap { password } => return Ok(Some(password.clone())),
        Credentials::Chap {
            id,
            challenge,
            response,
        } => {
            fits(list.push(kind::CHAP_PASSWORD, &[&[*id], &response[..]].concat()))?;
            fits(list.push(kind::CHAP_CHALLENGE, challenge))?;
        }
        Credentials::MsChapV2 {
            id,
            challenge,
            response,
        } => {
            let whose = vendor::MICROSOFT;
            fits(list.push_vendor(whose, vendor::MS_CHAP_CHALLENGE, challenge))?;
            let mut value = vec![*id, response.flags];
            value.extend_from_slice(&response.peer_challenge);
            value.extend_from_slice(&[0; 8]);
            value.extend_from_slice(&response.nt_response);
            fits(list.push_vendor(whose, vendor::MS_CHAP2_RESPONSE, &value))?;
        }
        Credentials::Eap { message } => {
            list.push_long(kind::EAP_MESSAGE, message.expose());
            // How much of a certificate fits into one Request (RFC 3579, 2.4).
            let mru = session
                .lcp
                .map_or(lns_ppp::limits::DEFAULT_MRU, |lcp| lcp.peer_mru);
            list.push_u32(kind::FRAMED_MTU, mru.into());
        }
    }
    Ok(None)
}
