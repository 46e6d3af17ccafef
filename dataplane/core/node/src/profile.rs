//! What a LAC entry of the configuration means for its tunnels and for the PPP of its calls.

use core::net::Ipv4Addr;
use std::sync::Arc;

use lns_l2tp::{HostName, Secrets, TunnelConfig};
use lns_ppp::{AuthMethod, Echo, LcpRenegotiation, ProxiedAuthentication};

use crate::config::{self, Authentication, Lac, Ppp};
use crate::lacs::Profile;

/// Our end of a link whose pool does not name one: an address that no network has (RFC 7600, 8).
const NO_ONES_ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 0, 8);

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
