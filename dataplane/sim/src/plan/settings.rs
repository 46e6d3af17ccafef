//! The node's configuration as a run varies it.

use core::net::Ipv4Addr;
use core::time::Duration;

use lns_crypto::Secret;
use lns_node::config::{
    Admission, Authentication, Config, DuplicateAction, DuplicateKey, Duplicates, Lac, LacLimits,
    LcpRenegotiation, TunnelSecret, User,
};

use super::{Filters, LoginPlan, Plan};
use crate::config::{FIXED, PREVIOUS, SECRET, config, pool};

/// What is varied.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Settings {
    /// Asked for in this order.
    pub authentication: Vec<Authentication>,
    /// The rule for duplicates.
    pub duplicates: Duplicate,
    /// Addresses in the pool: a power of two.
    pub addresses: u32,
    /// The prefix of the pool, one of a few.
    pub prefix: u8,
    /// How long an address rests.
    pub rest: Duration,
    /// Silence before a HELLO.
    pub hello: Duration,
    /// Silence before an echo; zero: never.
    pub echo: Duration,
    /// Echoes that may stay without an answer.
    pub echo_failures: u8,
    /// How often CHAP asks again; zero: never.
    pub rechallenge: Duration,
    /// The longest session; zero: any.
    pub session: Duration,
    /// The longest idle time; zero: any.
    pub idle: Duration,
    /// There is a tunnel secret.
    pub has_secret: bool,
    /// AVPs are hidden.
    pub hides: bool,
    /// What becomes of proxied LCP.
    pub renegotiation: LcpRenegotiation,
    /// Whether LACs are let in.
    pub admission: Admission,
    /// Calls that are accepted per second.
    pub setups_per_second: u32,
    /// Sessions of the node.
    pub max_sessions: u32,
    /// The policies, and who has which.
    pub filters: Filters,
}

/// The rule for duplicates.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Duplicate {
    /// The calling number is part of the key.
    pub by_number: bool,
    /// What happens to the second.
    pub action: DuplicateAction,
}

impl Settings {
    /// The configuration for the users of `plan`.
    pub fn config(&self, plan: &Plan) -> Config {
        let mut config = config(0);
        let own = plan.lacs.iter().enumerate().flat_map(|(lac, it)| {
            (0..it.lines.len()).map(move |line| name(lac, line, LoginPlan::Own))
        });
        for name in own.chain(["shared".to_owned()]) {
            let user = User {
                password: Secret::new(name.as_bytes()),
                policies: Vec::new(),
                address: None,
            };
            config
                .subscribers
                .users
                .insert(name.into_bytes().into(), user);
        }
        config.subscribers.duplicates = self.duplicates();
        config.subscribers.idle = self.idle;
        config.subscribers.session = self.session;
        config.ppp.authentication.clone_from(&self.authentication);
        config.ppp.echo_interval = self.echo;
        config.ppp.echo_failures = self.echo_failures;
        config.ppp.rechallenge = self.rechallenge;
        config.max_sessions = self.max_sessions;
        let len = 32 - self.addresses.max(4).ilog2();
        config.pools = vec![pool(&format!("100.{}.0.0/{len}", 64 + self.prefix))];
        config.pools[0].addresses.reuse_delay = self.rest;
        let entry = config.lacs.remove(0);
        config.lacs = vec![
            self.lac(&entry, "wholesale", 18),
            self.lac(&entry, "rogue", 19),
        ];
        self.filters.put(&mut config);
        config
    }

    /// Addresses that can be given out: the node has one.
    pub const fn usable_addresses(&self) -> u32 {
        self.addresses - 1
    }

    fn duplicates(&self) -> Duplicates {
        let mut key = vec![DuplicateKey::UserName];
        if self.duplicates.by_number {
            key.push(DuplicateKey::CallingStationId);
        }
        Duplicates {
            key,
            action: self.duplicates.action,
        }
    }

    fn lac(&self, entry: &Lac, name: &str, second: u8) -> Lac {
        let from = format!("198.{second}.0.0/16").parse().expect("a prefix");
        Lac {
            name: name.into(),
            from: vec![from],
            secret: self.has_secret.then(|| TunnelSecret {
                current: Secret::new(SECRET.as_bytes()),
                previous: Some(Secret::new(PREVIOUS.as_bytes())),
            }),
            hide_avps: self.hides,
            admission: self.admission,
            limits: LacLimits {
                max_setups_per_second: self.setups_per_second,
                ..entry.limits
            },
            hello: self.hello,
            lcp_renegotiation: self.renegotiation,
            ..entry.clone()
        }
    }
}

/// What a line's subscriber calls itself.
pub(crate) fn name(lac: usize, line: usize, login: LoginPlan) -> String {
    match login {
        LoginPlan::Own | LoginPlan::Wrong => format!("u{lac}x{line}"),
        LoginPlan::Shared => "shared".to_owned(),
        LoginPlan::Fixed => "fixed".to_owned(),
    }
}

/// Addresses that belong to users.
pub(crate) fn owned() -> Vec<Ipv4Addr> {
    vec![FIXED]
}
