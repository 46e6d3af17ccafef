//! The configuration that the tests start from.

use core::net::Ipv4Addr;
use core::time::Duration;
use std::collections::BTreeMap;

use lns_crypto::Secret;
use lns_l2sess::Timeouts;
use lns_l2sess::policy::{Action, OnChange, Policy, PolicyTable, Rates};
use lns_node::config::{
    AccountingConfig, Admission, Allocation, Authentication, Config, DuplicateAction, DuplicateKey,
    Duplicates, HostName, Lac, LacLimits, LcpRenegotiation, Pool, PoolConfig, PoolPrefix, Ppp,
    RadiusConfig, Subscribers, TunnelSecret, UnknownFilterId, User,
};

pub const SECRET: &str = "a tunnel secret of sixteen";
pub const LOCAL: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 1);
pub const DNS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 53);

/// One LAC entry with a secret, users `user0` to `user999` whose password is their name, one with a
/// fixed address, and a pool of 1,024 addresses.
pub fn config() -> Config {
    let users = (0..1000).map(|n| (format!("user{n}"), None));
    let fixed = [("fixed".to_owned(), Some(Ipv4Addr::new(203, 0, 113, 7)))];
    let users = users.chain(fixed).map(|(name, address)| {
        let password = Secret::new(name.as_bytes());
        (
            name.into_bytes().into_boxed_slice(),
            User {
                password,
                policies: Vec::new(),
                address,
            },
        )
    });
    Config {
        host_name: HostName::new(*b"lns1").expect("a name"),
        lacs: vec![lac()],
        ppp: ppp(),
        subscribers: Subscribers {
            users: users.collect::<BTreeMap<_, _>>(),
            duplicates: Duplicates {
                key: vec![DuplicateKey::UserName],
                action: DuplicateAction::Allow,
            },
            default_policies: Vec::new(),
            unknown_filter_id: UnknownFilterId::UseDefault,
            idle: Duration::ZERO,
            session: Duration::ZERO,
        },
        policies: Vec::new(),
        pools: vec![Pool {
            name: "default".into(),
            local_address: LOCAL,
            addresses: PoolConfig {
                prefixes: vec![PoolPrefix {
                    net: "100.64.0.0/22".parse().expect("a prefix"),
                    allocation: Allocation::Enabled,
                }],
                excluded: Vec::new(),
                reuse_delay: Duration::from_secs(60),
            },
        }],
        radius: None,
        accounting: None,
        epoch: 0,
        max_sessions: 10_000,
        id_rest: Duration::ZERO,
        workers: 1,
    }
}

pub fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// RADIUS judges, is told of each session every minute or a little later, and grants what one can have.
pub fn accounted() -> Config {
    Config {
        radius: Some(RadiusConfig::default()),
        accounting: Some(AccountingConfig {
            interim: seconds(60),
        }),
        epoch: 7,
        ..config()
    }
}

pub fn lac() -> Lac {
    Lac {
        name: "wholesale".into(),
        from: vec!["198.51.100.0/24".parse().expect("a prefix")],
        host_name: "lac*".to_owned(),
        secret: Some(TunnelSecret {
            current: Secret::new(SECRET.as_bytes()),
            previous: None,
        }),
        hide_avps: false,
        admission: Admission::Accept,
        limits: LacLimits {
            max_tunnels: 16,
            max_sessions: 5_000,
            max_setups_per_second: 5_000,
        },
        hello: Duration::from_secs(60),
        lcp_renegotiation: LcpRenegotiation::OnMismatch,
        path_mtu: 1500,
        authentication: None,
    }
}

/// A policy that passes everything and says how fast a subscriber may be; 0: it does not.
pub fn policy(name: &str, filter_ids: &[&str], rate: u64) -> Policy {
    let passes = PolicyTable {
        rules: Vec::new(),
        default: Action::Pass,
    };
    Policy {
        name: name.into(),
        filter_ids: filter_ids.iter().map(|&id| id.into()).collect(),
        input: Some(passes.clone()),
        output: Some(passes),
        timeouts: Timeouts::DEFAULT,
        on_change: OnChange::Keep,
        rates: (rate > 0).then_some(Rates {
            up: rate,
            down: 2 * rate,
            burst_milliseconds: 100,
        }),
    }
}

fn ppp() -> Ppp {
    Ppp {
        authentication: vec![Authentication::Chap, Authentication::Pap],
        use_proxied_authentication: true,
        mru: 1492,
        dns: [Some(DNS), None],
        rechallenge: Duration::ZERO,
        echo_interval: Duration::from_secs(30),
        echo_failures: 4,
    }
}
