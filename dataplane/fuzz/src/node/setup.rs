//! What the node of the harness is configured with, and who talks to it.

use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;

use lns_crypto::Secret;
use lns_l2sess::Timeouts;
use lns_l2sess::policy::{Action, OnChange, Policy, PolicyTable, Rates};
use lns_node::config::{
    AccountingConfig, Admission, Allocation, Authentication, Config, DuplicateAction, DuplicateKey,
    Duplicates, HostName, Lac, LacLimits, LcpRenegotiation, LocalUsers, Pool, PoolConfig,
    PoolPrefix, Ppp, RadiusConfig, Subscribers, TunnelSecret, UnknownFilterId, User,
};

/// Of the second LAC.
pub(super) const SECRET: &[u8] = b"a tunnel secret of sixteen";

/// Who is no local user is the servers'.
const RADIUS: RadiusConfig = RadiusConfig {
    local_users: LocalUsers::Before,
    synchronous: true,
};

/// The service address.
pub(super) fn service() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 1701))
}

/// Who sends: see the steps.
pub(super) fn peer(n: u8) -> SocketAddr {
    let address = match n % 3 {
        0 => [198, 51, 100, 1],
        1 => [198, 51, 100, 129],
        _ => [203, 0, 113, 9],
    };
    SocketAddr::from((address, 1701))
}

/// The configuration with those differences: see the steps.
pub(crate) fn config(bits: u8) -> Config {
    let has = |bit: u8| bits & (1 << bit) != 0;
    let admission = match (has(1), has(2)) {
        (_, true) => Admission::Refuse,
        (true, false) => Admission::Drain,
        (false, false) => Admission::Accept,
    };
    let action = match (has(3), has(4)) {
        (_, true) => DuplicateAction::Refuse,
        (true, false) => DuplicateAction::Replace,
        (false, false) => DuplicateAction::Allow,
    };
    let current = if has(6) { &b"another"[..] } else { SECRET };
    let secret = TunnelSecret {
        current: Secret::new(current),
        previous: has(6).then(|| Secret::new(SECRET)),
    };
    // What is gone with the other ones, changes, or comes.
    let (policies, default, own): (_, _, &[&str]) = if has(7) {
        let policies = vec![policy("base", 2), policy("extra", 0)];
        (policies, "extra", &["EXTRA", "nobody"])
    } else {
        (
            vec![policy("base", 1), policy("gold", 3)],
            "base",
            &["GOLD"],
        )
    };
    Config {
        host_name: HostName::new(*b"lns1").expect("a name"),
        lacs: vec![
            lac("open", "198.51.100.0/25", None, admission),
            lac("secret", "198.51.100.128/25", Some(secret), admission),
        ],
        ppp: Ppp {
            authentication: vec![Authentication::Pap, Authentication::Chap],
            use_proxied_authentication: true,
            mru: 1492,
            dns: [Some(Ipv4Addr::new(192, 0, 2, 53)), None],
            rechallenge: Duration::ZERO,
            echo_interval: Duration::from_secs(30),
            echo_failures: 4,
        },
        subscribers: Subscribers {
            users: [
                user("user", None, &[]),
                user("fixed", Some(Ipv4Addr::new(203, 0, 113, 7)), own),
            ]
            .into(),
            duplicates: Duplicates {
                key: vec![DuplicateKey::UserName],
                action,
            },
            default_policies: vec![default.into()],
            unknown_filter_id: UnknownFilterId::UseDefault,
            idle: Duration::from_secs(if has(5) { 20 } else { 0 }),
            session: Duration::ZERO,
        },
        policies,
        pools: vec![pool(
            ["100.64.0.0/28", "100.64.0.0/30"][usize::from(has(0))],
        )],
        radius: Some(RADIUS),
        accounting: Some(AccountingConfig {
            interim: Duration::from_secs(60),
        }),
        epoch: 0,
        id_rest: Duration::ZERO,
        max_sessions: 12,
        workers: 1,
    }
}

fn user(name: &str, address: Option<Ipv4Addr>, filter_ids: &[&str]) -> (Box<[u8]>, User) {
    let user = User {
        password: Secret::new(name.as_bytes()),
        policies: filter_ids.iter().map(|&id| id.into()).collect(),
        address,
    };
    (name.as_bytes().into(), user)
}

/// A policy with its name in capitals as a Filter-Id.
fn policy(name: &str, up: u64) -> Policy {
    Policy {
        name: name.into(),
        filter_ids: vec![name.to_uppercase().into()],
        input: Some(PolicyTable {
            rules: Vec::new(),
            default: Action::Track,
        }),
        output: None,
        timeouts: Timeouts::DEFAULT,
        on_change: OnChange::Reclassify,
        rates: (up > 0).then_some(Rates {
            up,
            down: 0,
            burst_milliseconds: 100,
        }),
    }
}

fn pool(prefix: &str) -> Pool {
    Pool {
        name: "default".into(),
        local_address: Ipv4Addr::new(100, 64, 0, 1),
        addresses: PoolConfig {
            prefixes: vec![PoolPrefix {
                net: prefix.parse().expect("a prefix"),
                allocation: Allocation::Enabled,
            }],
            excluded: Vec::new(),
            reuse_delay: Duration::from_secs(5),
        },
    }
}

fn lac(name: &str, from: &str, secret: Option<TunnelSecret>, admission: Admission) -> Lac {
    Lac {
        name: name.into(),
        from: vec![from.parse().expect("a prefix")],
        host_name: "*".to_owned(),
        hide_avps: false,
        secret,
        admission,
        limits: LacLimits {
            max_tunnels: 4,
            max_sessions: 8,
            max_setups_per_second: 100,
        },
        hello: Duration::from_secs(60),
        lcp_renegotiation: LcpRenegotiation::OnMismatch,
        path_mtu: 1500,
        authentication: None,
    }
}
