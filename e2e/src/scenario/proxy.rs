//! Proxy LCP and proxy authentication (RFC 2661, 4.4.5): used when they fit, begun anew when not.
//!
//! The ICCNs lie in `e2e/octets`, written from the RFC by hand, so that no encoder of ours has a
//! say in what the LNS reads.

use std::time::Duration;

use anyhow::{Context as _, Result};

use super::{Scenario, expect, options, start, topology};
use crate::lac::{Authentication, Lac, Options, Stage};
use crate::manifest::Manifest;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "proxy-chap",
        says: "proxied LCP and CHAP are used: the subscriber is asked nothing",
        run: || used(include_str!("../../octets/iccn-proxy-chap.txt")),
    },
    Scenario {
        name: "proxy-pap",
        says: "proxied LCP and PAP are used: the subscriber is asked nothing",
        run: || used(include_str!("../../octets/iccn-proxy-pap.txt")),
    },
    Scenario {
        name: "proxy-other-mru",
        says: "another legal MRU is no misfit",
        run: || used(include_str!("../../octets/iccn-proxy-other-mru.txt")),
    },
    Scenario {
        name: "proxy-misfit",
        says: "multilink does not fit: LCP and authentication begin anew",
        run: || {
            anew(
                "OnMismatch",
                "",
                include_str!("../../octets/iccn-proxy-multilink.txt"),
            )
        },
    },
    Scenario {
        name: "proxy-always-anew",
        says: "lcpRenegotiation Always begins anew even where all fits",
        run: || {
            anew(
                "Always",
                "",
                include_str!("../../octets/iccn-proxy-chap.txt"),
            )
        },
    },
    Scenario {
        name: "proxy-auth-ignored",
        says: "proxiedAuthentication Ignore asks the subscriber again",
        run: ignored,
    },
    Scenario {
        name: "proxy-wrong-password",
        says: "a proxied response to another password is refused",
        run: wrong_password,
    },
    Scenario {
        name: "proxy-generated",
        says: "a hundred proxied calls of each kind come up",
        run: generated,
    },
];

/// Octets out of a text of hexadecimal pairs with comments behind `#`.
fn octets(text: &str) -> Result<Vec<u8>> {
    text.lines()
        .map(|line| line.split('#').next().unwrap_or_default())
        .flat_map(str::split_whitespace)
        .map(|pair| u8::from_str_radix(pair, 16).with_context(|| format!("`{pair}` is no octet")))
        .collect()
}

fn calling(iccn: &str) -> Result<Options> {
    Ok(Options {
        iccn: Some(octets(iccn)?),
        ..options()
    })
}

fn used(iccn: &str) -> Result<String> {
    let topology = topology()?;
    let lnsd = start(&topology, &Manifest::default())?;
    let lac = Lac::up(&topology.lac, calling(iccn)?)?;
    let heard = lac.session(0)?.heard;
    expect(
        heard.configure_requests == 0 && heard.challenges == 0,
        format!("the subscriber was asked again: {heard:?}"),
    )?;
    let rows = lnsd.rows("sessions", &["sessions", "--user", "user@isp"])?;
    let [session] = &rows[..] else {
        anyhow::bail!("{} sessions of user@isp", rows.len());
    };
    expect(
        session["proxiedLcp"] == true && session["proxiedAuthentication"] == true,
        format!("not shown as proxied: {session}"),
    )?;
    lac.close()?;
    Ok(String::new())
}

fn anew(renegotiation: &'static str, ppp: &str, iccn: &str) -> Result<String> {
    let topology = topology()?;
    let mut manifest = Manifest {
        ppp: ppp.into(),
        ..Manifest::default()
    };
    for lac in &mut manifest.lacs {
        lac.lcp_renegotiation = renegotiation;
    }
    let _lnsd = start(&topology, &manifest)?;
    let lac = Lac::up(&topology.lac, calling(iccn)?)?;
    let heard = lac.session(0)?.heard;
    expect(
        heard.configure_requests > 0 && heard.challenges > 0,
        format!("the subscriber was not asked again: {heard:?}"),
    )?;
    lac.close()?;
    Ok(String::new())
}

fn ignored() -> Result<String> {
    let topology = topology()?;
    let manifest = Manifest {
        ppp: "proxiedAuthentication: Ignore".into(),
        ..Manifest::default()
    };
    let _lnsd = start(&topology, &manifest)?;
    let iccn = include_str!("../../octets/iccn-proxy-chap.txt");
    let lac = Lac::up(&topology.lac, calling(iccn)?)?;
    let heard = lac.session(0)?.heard;
    expect(
        heard.challenges > 0,
        format!("the subscriber was not challenged: {heard:?}"),
    )?;
    lac.close()?;
    Ok(String::new())
}

fn wrong_password() -> Result<String> {
    let topology = topology()?;
    let lnsd = start(&topology, &Manifest::default())?;
    let iccn = include_str!("../../octets/iccn-proxy-wrong-password.txt");
    let lac = Lac::start(&topology.lac, calling(iccn)?);
    lac.settle(Duration::from_secs(20))?;
    let stage = lac.session(0)?.stage;
    expect(
        matches!(stage, Stage::Failed(_)),
        format!("the session is {stage:?}"),
    )?;
    expect(lnsd.status("sessions")? == 0, "a session is up")?;
    Ok(format!("{stage:?}"))
}

fn generated() -> Result<String> {
    let topology = topology()?;
    let _lnsd = start(&topology, &Manifest::default())?;
    let options = Options {
        sessions: 200,
        proxy: true,
        authentication: vec![Authentication::Chap, Authentication::Pap],
        ..options()
    };
    let lac = Lac::up(&topology.lac, options)?;
    let asked = lac
        .shared()
        .sessions()
        .iter()
        .filter(|view| view.heard.configure_requests > 0)
        .count();
    expect(asked == 0, format!("{asked} subscribers were asked again"))?;
    let report = lac.close()?;
    Ok(format!("{:.0} per second", report.setups_per_second))
}

#[cfg(test)]
mod tests {
    use lns_wire::l2tp::Message;

    use super::*;

    #[test]
    fn the_committed_octets_are_whole_messages() {
        for text in [
            include_str!("../../octets/iccn-proxy-chap.txt"),
            include_str!("../../octets/iccn-proxy-pap.txt"),
            include_str!("../../octets/iccn-proxy-other-mru.txt"),
            include_str!("../../octets/iccn-proxy-multilink.txt"),
            include_str!("../../octets/iccn-proxy-wrong-password.txt"),
        ] {
            let body = octets(text).unwrap();
            assert!(matches!(Message::parse(&body), Ok(Message::Iccn(_))));
        }
    }
}
