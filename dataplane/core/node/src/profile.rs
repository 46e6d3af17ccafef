//! What a LAC entry of the configuration means for its tunnels and for the PPP of its calls.

use core::net::Ipv4Addr;
use core::time::Duration;
use std::sync::Arc;

use lns_l2tp::{HostName, Secrets, TunnelConfig};
use lns_ppp::{AuthMethod, Echo, LcpRenegotiation, ProxiedAuthentication};

use crate::config::{self, Admission, Authentication, Lac, LacLimits, Ppp};
use crate::lacs::Profile;

/// Our end of a link whose pool does not name one: an address that no network has (RFC 7600, 8).
const NO_ONES_ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 0, 8);

/// The manifest's defaults of `helloSeconds` and `pathMtu`.
const HELLO: Duration = Duration::from_secs(60);
const PATH_MTU: u16 = 1500;

/// The profiles of all entries, in their order.
pub(crate) fn profiles(lacs: Vec<Lac>, host_name: &HostName, ppp: &Ppp) -> Vec<Profile> {
    lacs.into_iter()
        .map(|lac| Profile {
            tunnel: Arc::new(tunnel_config(&lac, host_name)),
            ppp: Arc::new(ppp_config(&lac, host_name, ppp)),
            lac,
        })
        .collect()
}

/// The profile of a tunnel that is restored and whose entry is gone from the manifest: it lives on as it
/// would have without the restart, but for what only its entry has said.
pub(crate) fn orphan(name: &str, host_name: &HostName) -> Profile {
    let lac = Lac {
        name: Arc::from(name),
        from: Vec::new(),
        host_name: "*".to_owned(),
        secret: None,
        hide_avps: false,
        admission: Admission::Refuse,
        limits: LacLimits {
            max_tunnels: 0,
            max_sessions: 0,
            max_setups_per_second: 0,
        },
        hello: HELLO,
        lcp_renegotiation: config::LcpRenegotiation::OnMismatch,
        path_mtu: PATH_MTU,
        authentication: None,
    };
    Profile {
        tunnel: Arc::new(tunnel_config(&lac, host_name)),
        ppp: Arc::new(lns_ppp::Config {
            name: host_name.octets().into(),
            local_address: NO_ONES_ADDRESS,
            ..lns_ppp::Config::default()
        }),
        lac,
    }
}

fn tunnel_config(lac: &Lac, host_name: &HostName) -> TunnelConfig {
    let mut config = TunnelConfig::new(host_name.clone());
    config.hello = (!lac.hello.is_zero()).then_some(lac.hello);
    config.hide = lac.hide_avps;
    config.secrets = lac.secret.as_ref().map(|secret| Secrets {
        current: secret.current.clone(),
        previous: secret.previous.clone(),
    });
    config
}

fn ppp_config(lac: &Lac, host_name: &HostName, ppp: &Ppp) -> lns_ppp::Config {
    let methods = lac.authentication.as_ref().unwrap_or(&ppp.authentication);
    let proxied_authentication = if ppp.use_proxied_authentication {
        ProxiedAuthentication::Use
    } else {
        ProxiedAuthentication::Ignore
    };
    lns_ppp::Config {
        name: host_name.octets().into(),
        authentication: methods.iter().map(|method| auth_method(*method)).collect(),
        mru: ppp.mru,
        lcp_renegotiation: match lac.lcp_renegotiation {
            config::LcpRenegotiation::Never => LcpRenegotiation::Never,
            config::LcpRenegotiation::OnMismatch => LcpRenegotiation::OnMismatch,
            config::LcpRenegotiation::Always => LcpRenegotiation::Always,
        },
        proxied_authentication,
        local_address: NO_ONES_ADDRESS,
        dns: ppp.dns,
        rechallenge: (!ppp.rechallenge.is_zero()).then_some(ppp.rechallenge),
        echo: (!ppp.echo_interval.is_zero()).then_some(Echo {
            interval: ppp.echo_interval,
            failures: ppp.echo_failures,
        }),
    }
}

const fn auth_method(method: Authentication) -> AuthMethod {
    match method {
        Authentication::Chap => AuthMethod::Chap,
        Authentication::MsChapV2 => AuthMethod::MsChapV2,
        Authentication::Pap => AuthMethod::Pap,
        Authentication::Eap => AuthMethod::Eap,
        Authentication::None => AuthMethod::None,
    }
}
