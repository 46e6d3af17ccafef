//! Anything may happen in any order: each request has one outcome, and in the end nothing is held.

use lns_radius::config::{Check, LoadBalance, Mode, Purpose, StatusCheck, Transport};
use lns_radius::event::{Cause, SendError};
use lns_radius::request::Token;
use lns_wire::radius::Code;
use proptest::prelude::*;

use crate::world::*;

#[derive(Clone, Copy, Debug)]
enum Step {
    Ask(u8),
    Cancel(u8),
    Repeat(u8),
    Run(u16),
    Life(bool, u8),
    Delay(bool, u16),
    Close(u8),
    Lose(u8),
    Find,
    Error(u8),
    Writable,
    Opens(bool, bool),
    Forge(u8, u8),
    Limit(u16, u16),
    Leave(bool),
    Jump(u32),
    Secret(bool, bool),
    Rotate(bool),
    Check(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1_u8..60).prop_map(Step::Ask),
        2 => any::<u8>().prop_map(Step::Cancel),
        1 => any::<u8>().prop_map(Step::Repeat),
        8 => (1_u16..15_000).prop_map(Step::Run),
        3 => (any::<bool>(), 0_u8..3).prop_map(|(one, life)| Step::Life(one, life)),
        1 => (any::<bool>(), 0_u16..3000).prop_map(|(one, delay)| Step::Delay(one, delay)),
        1 => any::<u8>().prop_map(Step::Close),
        1 => any::<u8>().prop_map(Step::Lose),
        1 => Just(Step::Find),
        1 => (0_u8..3).prop_map(Step::Error),
        1 => Just(Step::Writable),
        1 => (any::<bool>(), any::<bool>()).prop_map(|(one, opens)| Step::Opens(one, opens)),
        1 => (any::<u8>(), any::<u8>()).prop_map(|(which, id)| Step::Forge(which, id)),
        1 => (2_u16..6, 1_u16..600).prop_map(|(sockets, asks)| Step::Limit(sockets, asks)),
        1 => any::<bool>().prop_map(Step::Leave),
        1 => (1_u32..200_000).prop_map(Step::Jump),
        1 => (any::<bool>(), any::<bool>()).prop_map(|(one, new)| Step::Secret(one, new)),
        1 => any::<bool>().prop_map(Step::Rotate),
        1 => (0_u8..4).prop_map(Step::Check),
    ]
}

fn apply(world: &mut World, step: Step) {
    let name = |one: bool| if one { "r1" } else { "r2" };
    let nth = |world: &World, which: u8| {
        let count = world.sockets.len().max(1);
        world
            .sockets
            .keys()
            .nth(usize::from(which) % count)
            .copied()
    };
    match step {
        Step::Ask(count) => {
            world.asks(usize::from(count));
        }
        Step::Cancel(back) => world.cancel(Token(world.next_token.saturating_sub(u64::from(back)))),
        Step::Repeat(back) => world.repeat(Token(world.next_token.saturating_sub(u64::from(back)))),
        Step::Run(time) => world.run(millis(u64::from(time))),
        Step::Life(one, life) => {
            world.peer(name(one)).life =
                [Life::Answers, Life::Silent, Life::Refuses][usize::from(life)];
        }
        Step::Delay(one, delay) => world.peer(name(one)).delay = millis(u64::from(delay)),
        Step::Close(which) => {
            if let Some(over) = nth(world, which) {
                world.close(over, Cause::Broken);
            }
        }
        Step::Lose(which) => {
            if let Some(over) = nth(world, which) {
                let server = world.sockets[&over].clone();
                world.peer(&server).lost.insert(over);
            }
        }
        Step::Find => world.peers.values_mut().for_each(|peer| peer.lost.clear()),
        Step::Error(error) => world.send_errors.push(
            [SendError::Temporary, SendError::TooLarge, SendError::Broken][usize::from(error)],
        ),
        Step::Writable => {
            for over in world.sockets.keys().copied().collect::<Vec<_>>() {
                world.client.handle_writable(over);
            }
            world.settle();
        }
        Step::Opens(one, opens) => world.peer(name(one)).opens = opens,
        Step::Forge(which, id) => {
            if let Some(over) = nth(world, which) {
                let mut octets = vec![Code::ACCESS_ACCEPT.0, id, 0, 20];
                octets.extend_from_slice(&[7; 16]);
                world.forge(over, &octets);
            }
        }
        Step::Limit(sockets, asks) => {
            let mut config = world.config.clone();
            config.limits.max_connections = sockets;
            config.limits.max_in_flight = u32::from(asks);
            world.configure(config);
        }
        Step::Jump(time) => {
            // Nobody has looked at the clock for a while.
            world.now += secs(u64::from(time));
            world.run(millis(1));
        }
        Step::Secret(one, new) => world.peer(name(one)).secret = secret(new),
        Step::Rotate(back) => {
            let mut config = world.config.clone();
            for server in &mut config.servers {
                server.secrets.current = secret(!back);
                server.secrets.previous = Some(secret(back));
            }
            world.configure(config);
        }
        Step::Check(kind) => {
            let mut config = world.config.clone();
            config.check = check_kind(kind);
            world.configure(config);
        }
        Step::Leave(one) => {
            let mut config = world.config.clone();
            let all = super::world::config(&["r1", "r2"]).servers;
            config.servers = all
                .into_iter()
                .filter(|server| &*server.name != name(one))
                .collect();
            world.configure(config);
        }
    }
}

fn secret(new: bool) -> lns_crypto::Secret {
    lns_crypto::Secret::new(if new { *b"fresh" } else { *b"xyzzy" })
}

fn check_kind(kind: u8) -> StatusCheck {
    let check = Check {
        attributes: attributes("probe"),
        password: Some(lns_crypto::Secret::new(*b"probe")),
    };
    match kind {
        0 => StatusCheck::None,
        1 => StatusCheck::Auto(check),
        2 => StatusCheck::StatusServer(check),
        _ => StatusCheck::AccessRequest(check),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]
    #[test]
    fn whatever_happens_each_request_has_one_outcome_and_nothing_is_left(
        steps in prop::collection::vec(step(), 1..60),
        kind in 0_u8..4,
        purpose in 0_u8..3,
        synchronous: bool,
        balance in 0_u8..3,
        delay_time: bool,
        tls: bool,
        count in prop::sample::select(vec![1_u8, 2, 5]),
    ) {
        let mut config = config(&["r1", "r2"]);
        config.check = check_kind(kind);
        config.purpose = [Purpose::Authentication, Purpose::Accounting, Purpose::Copy][usize::from(purpose)];
        config.mode = if synchronous { Mode::Synchronous } else { Mode::Originate };
        config.balance = [LoadBalance::FailOver, LoadBalance::Balance, LoadBalance::KeyedBalance][usize::from(balance)];
        config.delay_time = delay_time;
        config.timing.count = count;
        if tls {
            config.servers[0].transport = Transport::Tls;
        }
        let mut world = World::new(config);
        for step in steps {
            apply(&mut world, step);
            let view = world.client.view(world.now);
            prop_assert_eq!(usize::from(view.connections), world.sockets.len());
            prop_assert!(view.in_flight <= 4096);
        }
        world.send_errors.clear();
        apply(&mut world, Step::Writable);
        world.run(secs(100));
        prop_assert_eq!(u64::try_from(world.outcomes.len()), Ok(world.next_token));
        world.nothing_is_held();
    }
}
