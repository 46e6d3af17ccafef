//! The RADIUS servers: everybody's password is his name.

use lns_crypto::radius::{sign_message, sign_response};
use lns_crypto::{Secret, chap};
use lns_radius::config::{Require, Secrets};
use lns_radius::request::{Reply, Request};
use lns_radius::verify::{Asked, Verifier};
use lns_wire::radius::{AttributeList, Code, Id, kind, places};

const AUTHENTICATOR: [u8; 16] = [0x42; 16];

/// What they are.
#[derive(Debug)]
pub(super) struct Servers {
    secrets: Secrets,
    verifier: Verifier,
}

impl Default for Servers {
    fn default() -> Self {
        let secrets = Secrets {
            current: Secret::new(*b"a radius secret"),
            previous: None,
        };
        Self {
            secrets,
            verifier: Verifier::new(Require::Always),
        }
    }
}

impl Servers {
    /// What they say to a login.
    pub(super) fn judge(&mut self, request: &Request) -> Reply {
        let code = if knows(request) {
            Code::ACCESS_ACCEPT
        } else {
            Code::ACCESS_REJECT
        };
        self.reply(code)
    }

    /// A signed answer, as the client gives it to the node.
    fn reply(&mut self, code: Code) -> Reply {
        let signature = [&[kind::MESSAGE_AUTHENTICATOR, 18][..], &[0; 16]].concat();
        let mut packet = Vec::new();
        AttributeList::from(signature)
            .emit(code, Id(1), &[0; 16], &mut packet)
            .expect("it fits");
        let at = places(&packet).next().expect("the first").value.start;
        let secret = &self.secrets.current;
        sign_message(&mut packet, at, &AUTHENTICATOR, secret).expect("in place");
        sign_response(&mut packet, &AUTHENTICATOR, secret).expect("in place");
        let asked = Asked {
            code: Code::ACCESS_REQUEST,
            id: Id(1),
            authenticator: AUTHENTICATOR,
        };
        let verified = self.verifier.answer(&packet, &asked, &self.secrets);
        Reply::new(
            &verified.expect("it is signed"),
            AUTHENTICATOR,
            &self.secrets,
        )
    }
}

/// Whether the proof is right.
fn knows(request: &Request) -> bool {
    let Some(name) = value(request, kind::USER_NAME) else {
        return false;
    };
    if let Some(password) = &request.password {
        return password.is(name);
    }
    let response = value(request, kind::CHAP_PASSWORD).and_then(<[u8]>::split_first);
    let (Some((id, digest)), Some(challenge)) = (response, value(request, kind::CHAP_CHALLENGE))
    else {
        return false;
    };
    chap::verify(*id, &Secret::new(name), challenge, digest)
}

fn value(request: &Request, kind: u8) -> Option<&[u8]> {
    let mut all = request.attributes.iter();
    all.find(|it| it.kind == kind).map(|it| it.value)
}
