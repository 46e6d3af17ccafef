//! The authentication servers: what the node asks them, and what they answer when a step says so.

use std::collections::{BTreeSet, VecDeque};

use lns_crypto::Secret;
use lns_crypto::radius::{sign_message, sign_response};
use lns_node::radius::Order;
use lns_radius::config::{Require, Secrets};
use lns_radius::request::{Failure, Outcome, Reply, Request, Token};
use lns_radius::verify::{Asked, Verifier};
use lns_wire::radius::{AttributeList, Code, HEADER, Id, MAX_PACKET, kind, places};

const SECRET: &[u8] = b"a secret of some length";
const AUTHENTICATOR: [u8; 16] = [0x5a; 16];
/// What is asked, oldest first.
#[derive(Debug, Default)]
pub(super) struct Servers {
    open: VecDeque<Token>,
    /// Names of questions that were ever asked.
    names: BTreeSet<Token>,
}

impl Servers {
    pub(super) fn take(&mut self, order: &Order) {
        match order {
            Order::Ask(request) => {
                check(request);
                assert!(self.names.insert(request.token), "a name is given again");
                self.open.push_back(request.token);
            }
            Order::Repeat(token) => assert!(self.open.contains(token), "nothing is asked"),
            Order::Cancel(token) => {
                assert!(self.open.contains(token), "nothing is asked");
                self.open.retain(|open| open != token);
            }
            Order::Record(_) => {}
        }
    }

    /// So many sessions live, and each has one question at most.
    pub(super) fn check(&self, live: usize) {
        assert!(self.open.len() <= live, "a question of nobody");
    }

    /// What becomes of the oldest question: see the steps.
    pub(super) fn answer(&mut self, what: u8, attributes: &[u8]) -> Option<Outcome> {
        let codes = [
            Code::ACCESS_ACCEPT,
            Code::ACCESS_REJECT,
            Code::ACCESS_CHALLENGE,
        ];
        let result = if let Some(code) = codes.get(usize::from(what)) {
            // What cannot be signed never comes as far as the node.
            Ok(reply(*code, attributes)?)
        } else {
            let which = usize::from(what).checked_rem(Failure::ALL.len())?;
            Err(Failure::ALL[which])
        };
        Some(Outcome {
            token: self.open.pop_front()?,
            server: Some("r1".into()),
            rtt: None,
            sends: 1,
            result,
        })
    }
}

/// It fits into a packet, with what the client adds, and has what servers need to tell subscribers apart.
fn check(request: &Request) {
    let list = &request.attributes;
    let mut packet = Vec::new();
    let written = list.emit(request.code, Id(0), &[0; 16], &mut packet);
    assert!(written.is_ok() && packet.len() + 200 < MAX_PACKET && packet.len() > HEADER);
    let count = |wanted| list.iter().filter(|it| it.kind == wanted).count();
    for single in [
        kind::USER_NAME,
        kind::NAS_PORT,
        kind::NAS_PORT_ID,
        kind::ACCT_SESSION_ID,
    ] {
        assert_eq!(count(single), 1, "{single}");
    }
    assert!(count(kind::STATE) <= 1);
}

/// A signed packet, if these attributes make one that is believed.
fn reply(code: Code, attributes: &[u8]) -> Option<Reply> {
    let secrets = Secrets {
        current: Secret::new(SECRET),
        previous: None,
    };
    let signature = [&[kind::MESSAGE_AUTHENTICATOR, 18][..], &[0; 16]].concat();
    let list = AttributeList::from([&signature, attributes].concat());
    let mut packet = Vec::new();
    list.emit(code, Id(1), &[0; 16], &mut packet).ok()?;
    let at = places(&packet).next()?.value.start;
    sign_message(&mut packet, at, &AUTHENTICATOR, &secrets.current).ok()?;
    sign_response(&mut packet, &AUTHENTICATOR, &secrets.current).ok()?;
    let asked = Asked {
        code: Code::ACCESS_REQUEST,
        id: Id(1),
        authenticator: AUTHENTICATOR,
    };
    let verified = Verifier::new(Require::Always).answer(&packet, &asked, &secrets);
    Some(Reply::new(&verified.ok()?, AUTHENTICATOR, &secrets))
}
