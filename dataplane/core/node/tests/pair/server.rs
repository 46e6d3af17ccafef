//! A RADIUS server without sockets: it judges what the node asks as a real one would, knows everybody's
//! password (it is his name), and grants what a test wants.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use lns_crypto::radius as digest;
use lns_crypto::{Secret, chap, mschapv2};
use lns_node::radius::Order;
use lns_radius::config::{Require, Secrets};
use lns_radius::request::{Failure, Outcome, Reply, Request, Token};
use lns_radius::verify::{Asked, Verifier};
use lns_tables::time::Instant;
use lns_wire::radius::kind::vendor;
use lns_wire::radius::{AttributeList, Code, Id, kind, places};

const SECRET: &[u8] = b"a radius secret";
const AUTHENTICATOR: [u8; 16] = [0x42; 16];

/// What the server does with a question.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Mood {
    /// It checks the proof.
    #[default]
    Honest,
    /// It says yes to everybody.
    Yes,
    /// It says no to everybody.
    No,
    /// There is no answer, for this reason.
    Fails(Failure),
    /// It never says anything.
    Silent,
}

/// The server, and the client in front of it.
#[derive(Debug, Default)]
pub struct Server {
    pub mood: Mood,
    /// How long it thinks.
    pub delay: Duration,
    /// And up to four times this on top, from question to question.
    pub dithers: Duration,
    /// What the client in front of it has ended a question with.
    pub told: BTreeSet<Token>,
    /// What it grants, over and above what the method wants.
    pub grant: AttributeList,
    /// What it says with a no.
    pub excuse: AttributeList,
    /// An answer is on its way although nobody waits for it any more.
    pub answers_the_cancelled: bool,
    due: BTreeMap<(Instant, Token), Outcome>,
}

impl Server {
    pub fn take(&mut self, order: &Order, now: Instant) {
        match order {
            Order::Ask(request) => {
                if let Some(outcome) = self.judge(request) {
                    let times = u32::try_from((request.token.0 >> 20) % 5).expect("below 5");
                    let at = now + self.delay + self.dithers * times;
                    self.due.insert((at, request.token), outcome);
                }
            }
            Order::Cancel(token) if !self.answers_the_cancelled => {
                self.due.retain(|(_, due), _| due != token);
            }
            Order::Cancel(_) | Order::Repeat(_) | Order::Record(_) => {}
        }
    }

    /// Nobody waits for any answer.
    pub fn forget(&mut self) {
        self.due.clear();
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        self.due.keys().next().map(|(at, _)| *at)
    }

    pub fn poll_outcome(&mut self, now: Instant) -> Option<Outcome> {
        let (at, _) = self.due.keys().next()?;
        if *at > now {
            return None;
        }
        let (_, outcome) = self.due.pop_first()?;
        self.told.insert(outcome.token);
        Some(outcome)
    }

    fn judge(&self, request: &Request) -> Option<Outcome> {
        let result = match self.mood {
            Mood::Silent => return None,
            Mood::Fails(failure) => Err(failure),
            Mood::No => Ok(reply(Code::ACCESS_REJECT, &self.excuse)),
            Mood::Yes => Ok(reply(Code::ACCESS_ACCEPT, &self.grant)),
            Mood::Honest => Ok(self.check(request)),
        };
        Some(Outcome {
            token: request.token,
            server: Some("r1".into()),
            rtt: result.is_ok().then_some(self.delay),
            sends: 1,
            result,
        })
    }

    fn check(&self, request: &Request) -> Reply {
        let name = value(request, kind::USER_NAME).expect("a User-Name");
        let secret = Secret::new(&name[..]);
        let mut answer = AttributeList::new();
        let good = if let Some(password) = &request.password {
            password.is(&name)
        } else if let Some(response) = value(request, kind::CHAP_PASSWORD) {
            let challenge = value(request, kind::CHAP_CHALLENGE).expect("explicit");
            chap::verify(
                response[0],
                &secret,
                &challenge,
                response[1..].try_into().expect("16"),
            )
        } else if let Some(message) = value(request, kind::EAP_MESSAGE) {
            match check_eap(&message, request, &secret) {
                Ok(good) => good,
                Err(challenge) => return reply(Code::ACCESS_CHALLENGE, &challenge),
            }
        } else {
            check_ms_chap(request, &name, &mut answer)
        };
        if good {
            let all = [answer.octets(), self.grant.octets()].concat();
            reply(Code::ACCESS_ACCEPT, &AttributeList::from(all))
        } else {
            reply(Code::ACCESS_REJECT, &self.excuse)
        }
    }
}

/// EAP with MD5-Challenge. The identity is answered by a challenge, which is the error here.
fn check_eap(message: &[u8], request: &Request, secret: &Secret) -> Result<bool, AttributeList> {
    let challenge = [0x77; 16];
    if value(request, kind::STATE).is_none() {
        assert_eq!(message[4], 1, "the identity comes first");
        let mut list = AttributeList::new();
        let packet = [
            &[1, message[1].wrapping_add(1), 0, 22, 4, 16][..],
            &challenge,
        ]
        .concat();
        list.push(kind::EAP_MESSAGE, &packet).expect("it fits");
        list.push(kind::STATE, b"conversation").expect("it fits");
        return Err(list);
    }
    assert_eq!(
        request.server.as_deref(),
        Some("r1"),
        "it goes where the challenge came from"
    );
    assert_eq!(message[4..6], [4, 16]);
    let digest = message[6..22].try_into().expect("16");
    Ok(chap::verify(message[1], secret, &challenge, digest))
}

fn check_ms_chap(request: &Request, name: &[u8], answer: &mut AttributeList) -> bool {
    let challenge = microsoft(request, vendor::MS_CHAP_CHALLENGE).expect("explicit");
    let response = microsoft(request, vendor::MS_CHAP2_RESPONSE).expect("a response");
    assert_eq!(response.len(), 50);
    let exchange = mschapv2::Exchange {
        authenticator_challenge: challenge[..].try_into().expect("16"),
        peer_challenge: response[2..18].try_into().expect("16"),
        user_name: name,
    };
    let nt_response = response[26..50].try_into().expect("24");
    let Some(proof) = exchange.verify(&Secret::new(name), nt_response) else {
        return false;
    };
    let value = [&response[..1], &proof].concat();
    answer
        .push_vendor(vendor::MICROSOFT, vendor::MS_CHAP2_SUCCESS, &value)
        .expect("it fits");
    true
}

/// All values of an attribute, one behind the other.
pub fn value(request: &Request, kind: u8) -> Option<Vec<u8>> {
    let all = request.attributes.iter().filter(|it| it.kind == kind);
    let values: Vec<_> = all.map(|attribute| attribute.value).collect();
    (!values.is_empty()).then(|| values.concat())
}

fn microsoft(request: &Request, number: u8) -> Option<Vec<u8>> {
    request.attributes.iter().find_map(|attribute| {
        let (whose, mut inner) = attribute.vendor()?.ok()?;
        let inner = inner.find(|inner| inner.kind == number)?;
        (whose == vendor::MICROSOFT).then(|| inner.value.to_vec())
    })
}

/// A signed answer, as the client gives it to the node.
pub fn reply(code: Code, attributes: &AttributeList) -> Reply {
    let mut octets = vec![kind::MESSAGE_AUTHENTICATOR, 18];
    octets.extend([0; 16]);
    octets.extend(attributes.octets());
    let mut packet = Vec::new();
    AttributeList::from(octets)
        .emit(code, Id(1), &[0; 16], &mut packet)
        .expect("it fits");
    let at = places(&packet)
        .find(|place| place.kind == kind::MESSAGE_AUTHENTICATOR)
        .expect("the first")
        .value
        .start;
    let secrets = Secrets {
        current: Secret::new(SECRET),
        previous: None,
    };
    digest::sign_message(&mut packet, at, &AUTHENTICATOR, &secrets.current).expect("in place");
    digest::sign_response(&mut packet, &AUTHENTICATOR, &secrets.current).expect("in place");
    let asked = Asked {
        code: Code::ACCESS_REQUEST,
        id: Id(1),
        authenticator: AUTHENTICATOR,
    };
    let verified = Verifier::new(Require::Always)
        .answer(&packet, &asked, &secrets)
        .expect("it is signed");
    Reply::new(&verified, AUTHENTICATOR, &secrets)
}
