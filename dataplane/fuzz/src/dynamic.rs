//! Requests of dynamic authorization (RFC 5176), as anybody may send them and as one may who has the secret.
//!
//! Steps: an octet, then octets behind their length:
//!
//! | octet | its octets |
//! |---|---|
//! | 0 | a datagram |
//! | 1 | code, identifier, attributes: the packet is signed by the secret |
//! | 2 | the same, with a Message-Authenticator in front of the attributes |
//! | 3 | the first: seconds that pass |
//! | 4 | the first: what the node says to the oldest order, 0: done; else the Error-Cause at that place |
//! | 5 | code, identifier, attributes, signed as in 2, from an address of no client |
//!
//! An order that was answered, and what is dropped or refused, is the verdict.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::VecDeque;

use lns_crypto::Secret;
use lns_crypto::radius::{
    NO_AUTHENTICATOR, sign_message, sign_request, verify_message, verify_response,
};
use lns_radius::config::{Require, Secrets};
use lns_radius::dynamic::{Client, Command, Config, ErrorCause, Reply, Server, Ticket, Verdict};
use lns_tables::time::Instant;
use lns_wire::radius::{AttributeList, Code, HEADER, Id, Packet, kind};

use crate::Outcome;
use crate::ops::Ops;

const SECRET: &[u8] = b"a secret of some length";
const CLIENT: &str = "10.0.0.7:4000";
const STRANGER: &str = "192.0.2.7:4000";
/// The date of the first step, and when that is for the server.
const DATE: u64 = 1_780_000_000;
const START: u64 = 1_000;

struct Bed {
    server: Server,
    secret: Secret,
    /// Requests that the node has not answered.
    waiting: VecDeque<(Vec<u8>, Ticket)>,
    seconds: u64,
    verdict: Result<(), &'static str>,
    orders: u32,
}

/// Runs the steps.
pub(crate) fn run(input: &[u8]) -> Outcome {
    let mut bed = Bed::new();
    let mut ops = Ops::new(input);
    while let Some(step) = ops.step() {
        bed.step(step, ops.octets());
    }
    let kept = bed.server.kept();
    assert!(kept <= 4_096);
    Outcome {
        verdict: bed.verdict,
        then: format!("{} orders, {kept} kept", bed.orders),
    }
}

impl Bed {
    fn new() -> Self {
        let mut identity = AttributeList::new();
        identity.push(kind::NAS_IDENTIFIER, b"edge").expect("short");
        let client = Client {
            name: "oss".into(),
            from: vec!["10.0.0.7/32".parse().expect("a prefix")],
            secrets: Secrets {
                current: Secret::new(SECRET),
                previous: None,
            },
            message_authenticator: Require::Never,
        };
        Self {
            server: Server::new(Config {
                clients: vec![client],
                identity,
            }),
            secret: Secret::new(SECRET),
            waiting: VecDeque::new(),
            seconds: 0,
            verdict: Ok(()),
            orders: 0,
        }
    }

    fn now(&self) -> Instant {
        Instant::ZERO + Duration::from_secs(START + self.seconds)
    }

    fn step(&mut self, step: u8, octets: &[u8]) {
        match step {
            0 => self.datagram(CLIENT, octets),
            1 => self.signed(CLIENT, octets, false),
            2 => self.signed(CLIENT, octets, true),
            3 => self.seconds += u64::from(octets.first().copied().unwrap_or(1)),
            4 => self.answer(octets.first().copied().unwrap_or(0)),
            _ => self.signed(STRANGER, octets, true),
        }
    }

    fn signed(&mut self, from: &str, octets: &[u8], message: bool) {
        let [code, id, attributes @ ..] = octets else {
            return;
        };
        let mut list = Vec::new();
        if message {
            list.extend_from_slice(&[kind::MESSAGE_AUTHENTICATOR, 18]);
            list.extend_from_slice(&NO_AUTHENTICATOR);
        }
        list.extend_from_slice(attributes);
        let mut out = Vec::new();
        let list = AttributeList::from(list);
        if list
            .emit(Code(*code), Id(*id), &NO_AUTHENTICATOR, &mut out)
            .is_err()
        {
            return;
        }
        if message {
            sign_message(&mut out, HEADER + 2, &NO_AUTHENTICATOR, &self.secret).expect("room");
        }
        sign_request(&mut out, &self.secret).expect("a header");
        self.datagram(from, &out);
    }

    fn datagram(&mut self, from: &str, octets: &[u8]) {
        let from: SocketAddr = from.parse().expect("an address");
        let before = self.server.kept();
        let date = DATE + self.seconds;
        match self.server.handle_datagram(from, octets, date, self.now()) {
            Verdict::Dropped { client, why } => {
                assert!(self.server.kept() <= before, "what is dropped is not kept");
                assert_eq!(client.is_none(), from.to_string() == STRANGER);
                self.verdict = Err(why.label());
            }
            Verdict::Reply(reply) => self.told(octets, &reply),
            Verdict::Order(order, ticket) => {
                let target = &order.target;
                let is_found =
                    target.session.is_some() || target.user.is_some() || target.address.is_some();
                assert!(is_found, "a session can be found by it");
                let changes = order.changes.iter().count();
                assert_eq!(changes > 0, order.command == Command::Change);
                assert_eq!(
                    order.with_changes(|it| it.attributes().count()),
                    Some(changes)
                );
                self.orders += 1;
                self.waiting.push_back((octets.to_vec(), ticket));
                self.verdict = Ok(());
            }
        }
    }

    fn answer(&mut self, place: u8) {
        let Some((request, ticket)) = self.waiting.pop_front() else {
            return;
        };
        let cause = usize::from(place).checked_sub(1);
        let cause = cause.map(|place| ErrorCause::ALL[place % ErrorCause::ALL.len()]);
        let reply = self
            .server
            .answer(ticket, cause.map_or(Ok(()), Err), self.now());
        self.told(&request, &reply);
    }

    /// An answer is one that the client believes, and no longer than may be.
    fn told(&mut self, request: &[u8], reply: &Reply) {
        let asked = Packet::parse(request).expect("it was read");
        let packet = Packet::parse(&reply.octets).expect("an answer is a packet");
        assert_eq!(packet.id, asked.id);
        assert!(verify_response(
            &reply.octets,
            &asked.authenticator,
            &self.secret
        ));
        let mut unsigned = reply.octets.to_vec();
        unsigned[4..HEADER].copy_from_slice(&asked.authenticator);
        let at = HEADER + 2;
        assert!(verify_message(
            &unsigned,
            at,
            &asked.authenticator,
            &self.secret
        ));
        let is_ack = [Code::COA_ACK, Code::DISCONNECT_ACK].contains(&packet.code);
        assert_eq!(is_ack, packet.first(kind::ERROR_CAUSE).is_none());
        self.verdict = match reply.result {
            "ack" | "repeated" => Ok(()),
            refused => Err(refused),
        };
    }
}
