//! What happens, drawn at random: packets of a few conversations, most of them answers and sequels of
//! those before, and what the control does meanwhile.

use lns_l2sess::policy::Action;
use lns_l2sess::{Family, Timeouts};
use proptest::prelude::*;
use proptest::sample::select;
use proptest_state_machine::ReferenceStateMachine;

use crate::packets::{Sent, What};
use crate::plain::{Policy, Rule, Table, Way};

/// Ports there are: the first and the last are of one shard of the table.
pub(crate) const PORTS: [u32; 3] = [0, 1, 64];
/// Chains: none, each policy alone, both in a row.
pub(crate) const CHAINS: [&[usize]; 4] = [&[], &[0], &[1], &[0, 1]];

#[derive(Clone, Debug)]
pub(crate) enum Step {
    Packet {
        port: u32,
        way: Way,
        packet: Sent,
    },
    Replace(usize, Policy),
    Bind {
        port: u32,
        chain: usize,
    },
    Clear(u32),
    ClearAll,
    Close(u32),
    Open(u32),
    Limit {
        per_port: usize,
        stateless: bool,
        errors_pass: bool,
    },
    Wait(u64),
    Sweep,
}

/// What was sent last: what is drawn next is likely to be about it.
#[derive(Clone, Debug)]
pub(crate) struct Talk(Vec<(u32, Way, Sent)>);

const REMEMBERED: usize = 6;

pub(crate) fn policies() -> [BoxedStrategy<Policy>; 2] {
    let timeouts = |scale: u32| Timeouts {
        udp_idle: 12 * scale,
        tcp_idle: 60 * scale,
        tcp_transient: 6 * scale,
        tcp_closing: 2 * scale,
    };
    [1, 4].map(|scale| {
        let tables = [
            prop::option::weighted(0.8, table()),
            prop::option::weighted(0.8, table()),
        ];
        (tables, any::<bool>())
            .prop_map(move |(tables, reclassify)| Policy {
                tables,
                reclassify,
                timeouts: timeouts(scale),
            })
            .boxed()
    })
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        4 => Just(Action::Track),
        1 => Just(Action::Pass),
        2 => Just(Action::Drop),
    ]
}

fn table() -> impl Strategy<Value = Table> {
    let matches = prop_oneof![
        select(vec![1, 6, 17, 50, 58]).prop_map(|protocol| (Some(protocol), None)),
        (select(vec![6, 17]), 1..3_u16).prop_map(|(protocol, port)| (Some(protocol), Some(port))),
    ];
    let rule = (matches, action()).prop_map(|((protocol, port), action)| Rule {
        protocol,
        port,
        action,
    });
    (prop::collection::vec(rule, 0..3), action())
        .prop_map(|(rules, default)| Table { rules, default })
}

/// Flags as segments have them, and now and then any.
fn flags() -> impl Strategy<Value = u8> {
    prop_oneof![
        8 => select(vec![0x02, 0x12, 0x10, 0x10, 0x18, 0x11, 0x04, 0x14]),
        1 => any::<u8>(),
    ]
}

fn what() -> impl Strategy<Value = What> {
    let ports = (1..3_u16, 1..3_u16);
    prop_oneof![
        6 => (ports.clone(), flags()).prop_map(|((source, destination), flags)| What::Tcp {
            source,
            destination,
            flags,
        }),
        4 => ports.prop_map(|(source, destination)| What::Udp { source, destination }),
        1 => (1..3_u16).prop_map(What::Question),
        1 => (1..3_u16).prop_map(What::Answer),
        1 => Just(What::Message),
        1 => Just(What::Bare(50)),
        1 => Just(What::Later),
        1 => Just(What::Cut),
    ]
}

fn fresh() -> impl Strategy<Value = (u32, Way, Sent)> {
    let family = select(Family::ALL.to_vec());
    (select(PORTS.to_vec()), 0..2_usize, family, 2..4_u8, what()).prop_map(
        |(port, way, family, far, what)| {
            let (from, to) = if way == 0 { (1, far) } else { (far, 1) };
            (
                port,
                way,
                Sent {
                    family,
                    from,
                    to,
                    what,
                },
            )
        },
    )
}

fn about((port, way, packet): (u32, Way, Sent)) -> impl Strategy<Value = (u32, Way, Sent)> {
    // An error about an error is about nothing.
    let is_error = matches!(packet.what, What::Error(_));
    (0..8, flags()).prop_map(move |(kind, flags)| match kind {
        0..4 => (port, 1 - way, packet.answer(flags)),
        4..7 => (port, way, packet.again(flags)),
        _ if is_error => (port, way, packet.clone()),
        _ => (port, 1 - way, packet.error()),
    })
}

impl ReferenceStateMachine for Talk {
    type State = Self;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Self> {
        Just(Self(Vec::new())).boxed()
    }

    fn transitions(state: &Self) -> BoxedStrategy<Step> {
        let packet = if state.0.is_empty() {
            fresh().boxed()
        } else {
            let about = select(state.0.clone()).prop_flat_map(about);
            prop_oneof![1 => fresh(), 4 => about].boxed()
        };
        let packet = packet.prop_map(|(port, way, packet)| Step::Packet { port, way, packet });
        let [first, second] = policies();
        let port = || select(PORTS.to_vec());
        prop_oneof![
            60 => packet,
            2 => first.prop_map(|policy| Step::Replace(0, policy)),
            2 => second.prop_map(|policy| Step::Replace(1, policy)),
            2 => (port(), 0..CHAINS.len()).prop_map(|(port, chain)| Step::Bind { port, chain }),
            1 => port().prop_map(Step::Clear),
            1 => Just(Step::ClearAll),
            1 => port().prop_map(Step::Close),
            2 => port().prop_map(Step::Open),
            2 => (1..8_usize, any::<bool>(), any::<bool>()).prop_map(
                |(per_port, stateless, errors_pass)| Step::Limit { per_port, stateless, errors_pass }
            ),
            8 => prop_oneof![0..4_u64, 0..20_u64, 0..300_u64].prop_map(Step::Wait),
            3 => Just(Step::Sweep),
        ]
        .boxed()
    }

    fn apply(mut state: Self, step: &Step) -> Self {
        if let Step::Packet { port, way, packet } = step {
            state.0.insert(0, (*port, *way, packet.clone()));
            state.0.truncate(REMEMBERED);
        }
        state
    }
}
