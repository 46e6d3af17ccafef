//! The configuration that worlds start from.

use core::net::Ipv4Addr;
use core::time::Duration;
use std::collections::BTreeMap;

use lns_crypto::Secret;
use lns_node::config::{
    Admission, Allocation, Authentication, Config, DuplicateAction, DuplicateKey, Duplicates,
    HostName, Lac, LacLimits, LcpRenegotiation, Pool, PoolConfig, PoolPrefix, Ppp, Subscribers,
    TunnelSecret, UnknownFilterId, User,
};

/// The tunnel secret of [`config`].
pub const SECRET: &str = "a tunnel secret of sixteen";

/// The secret before it, where there is one.
pub const PREVIOUS: &str = "the secret that was before";

/// All secrets of tunnels.
pub(crate) const SECRETS: [&str; 2] = [SECRET, PREVIOUS];

/// The address that has its own user: `fixed`.
pub const FIXED: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 7);

/// One LAC entry `wholesale` for hosts `lac*` of 198.18.0.0/15 with [`SECRET`]; users `user0` and on,
/// `users` of them, whose password is their name, and `fixed` with [`FIXED`]; a pool of 100.64.0.0/10.
pub fn config(users: usize) -> Config {
    let named = (0..users).map(|n| (format!("user{n}"), None));
    let fixed = [("fixed".to_owned(), Some(FIXED))];
    let users = named.chain(fixed).map(|(name, address)| {
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
        pools: vec![pool("100.64.0.0/10")],
        radius: None,
        accounting: None,
        epoch: 0,
        id_rest: Duration::ZERO,
        max_sessions: 10_000,
        workers: 1,
    }
}

fn lac() -> Lac {
    Lac {
        name: "wholesale".into(),
        from: vec!["198.18.0.0/15".parse().expect("a prefix")],
        host_name: "lac*".to_owned(),
        secret: Some(TunnelSecret {
            current: Secret::new(SECRET.as_bytes()),
            previous: None,
        }),
        hide_avps: false,
        admission: Admission::Accept,
        limits: LacLimits {
            max_tunnels: 65_535,
            max_sessions: 1_000_000,
            max_setups_per_second: 1_000_000,
        },
        hello: Duration::from_secs(60),
        lcp_renegotiation: LcpRenegotiation::OnMismatch,
        path_mtu: 1500,
        authentication: None,
    }
}

fn ppp() -> Ppp {
    Ppp {
        authentication: vec![Authentication::Chap, Authentication::Pap],
        use_proxied_authentication: true,
        mru: 1492,
        dns: [Some(Ipv4Addr::new(192, 0, 2, 53)), None],
        rechallenge: Duration::ZERO,
        echo_interval: Duration::from_secs(30),
        echo_failures: 4,
    }
}

/// A pool `default` of one prefix, whose first address is the node's.
pub fn pool(net: &str) -> Pool {
    let net: ipnet::Ipv4Net = net.parse().expect("a prefix");
    Pool {
        name: "default".into(),
        local_address: Ipv4Addr::from(u32::from(net.network()) + 1),
        addresses: PoolConfig {
            prefixes: vec![PoolPrefix {
                net,
                allocation: Allocation::Enabled,
            }],
            excluded: Vec::new(),
            reuse_delay: Duration::from_secs(60),
        },
    }
}
