//! Who gets in, and who does not.

use std::time::Duration;

use anyhow::Result;

use super::{Scenario, expect, options, start, topology};
use crate::lac::{Authentication, Lac, Options, Stage};
use crate::manifest::Manifest;
use crate::net;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "login-pap",
        says: "a subscriber logs in with PAP",
        run: || log_in("[PAP]", Authentication::Pap, "PAP"),
    },
    Scenario {
        name: "login-chap",
        says: "a subscriber logs in with CHAP",
        run: || log_in("[CHAP]", Authentication::Chap, "CHAP"),
    },
    Scenario {
        name: "login-mschapv2",
        says: "a subscriber logs in with MS-CHAPv2, and the LNS proves itself",
        run: || log_in("[MSCHAPv2]", Authentication::Mschapv2, "MSCHAPv2"),
    },
    Scenario {
        name: "login-none",
        says: "without authentication anybody gets an address",
        run: || log_in("[None]", Authentication::None, "None"),
    },
    Scenario {
        name: "login-falls-back",
        says: "a Nak leads to the next authentication that is allowed",
        run: falls_back,
    },
    Scenario {
        name: "login-wrong-password",
        says: "a wrong password is refused by each protocol and counted",
        run: wrong_password,
    },
    Scenario {
        name: "login-unknown-user",
        says: "an unknown user and an empty name are refused",
        run: unknown_user,
    },
    Scenario {
        name: "login-fixed-address",
        says: "a user's own address is given, and another one asked for is not",
        run: fixed_address,
    },
    Scenario {
        name: "login-no-common-auth",
        says: "a subscriber who accepts no authentication on offer is ended",
        run: no_common_authentication,
    },
];

fn log_in(offered: &'static str, method: Authentication, shown: &str) -> Result<String> {
    let topology = topology()?;
    let lnsd = start(&topology, &Manifest::with_authentication(offered))?;
    let options = Options {
        authentication: vec![method],
        ..options()
    };
    let lac = Lac::up(&topology.lac, options)?;
    let address = lac.address(0)?;
    expect(
        address.octets().starts_with(&[100, 64]),
        format!("{address} is not of the pool"),
    )?;

    let rows = lnsd.rows("sessions", &["sessions", "--address", &address.to_string()])?;
    let [session] = &rows[..] else {
        anyhow::bail!("{} sessions have {address}", rows.len());
    };
    expect(
        session["authentication"] == shown,
        format!("authentication is shown as {}", session["authentication"]),
    )?;
    if method != Authentication::None {
        expect(
            session["user"] == "user@isp",
            format!("the user is shown as {}", session["user"]),
        )?;
    }
    let report = lac.close()?;
    lnsd.wait(Duration::from_secs(3), "no session and no tunnel", |lnsd| {
        Ok(lnsd.status("sessions")? == 0 && lnsd.status("tunnels")? == 0)
    })?;
    Ok(format!("up in {} ms", report.setup_milliseconds_p50))
}

fn falls_back() -> Result<String> {
    let topology = topology()?;
    let _lnsd = start(
        &topology,
        &Manifest::with_authentication("[CHAP, MSCHAPv2, PAP]"),
    )?;
    let options = Options {
        sessions: 3,
        authentication: vec![
            Authentication::Pap,
            Authentication::Mschapv2,
            Authentication::Chap,
        ],
        ..options()
    };
    Lac::up(&topology.lac, options)?.close()?;
    Ok(String::new())
}

fn wrong_password() -> Result<String> {
    let topology = topology()?;
    let lnsd = start(&topology, &Manifest::default())?;
    let methods = [
        Authentication::Pap,
        Authentication::Chap,
        Authentication::Mschapv2,
    ];
    for method in methods {
        let options = Options {
            authentication: vec![method],
            password: "not-the-password".into(),
            ..options()
        };
        refuse(&topology, options)?;
    }
    let counted = lnsd.metric("lns_session_failures_total", &["stage=\"Authentication\""])?;
    expect(
        counted >= 3,
        format!("lns_session_failures_total of Authentication is {counted}, not 3"),
    )?;
    expect(lnsd.status("sessions")? == 0, "a session is up")?;
    Ok(String::new())
}

fn unknown_user() -> Result<String> {
    let topology = topology()?;
    let _lnsd = start(&topology, &Manifest::default())?;
    for user in ["nobody@isp", ""] {
        for method in [Authentication::Pap, Authentication::Chap] {
            let options = Options {
                user: user.into(),
                authentication: vec![method],
                ..options()
            };
            refuse(&topology, options)?;
        }
    }
    Ok(String::new())
}

/// Dials with `options` and expects a refusal by name.
fn refuse(topology: &net::Topology, options: Options) -> Result<()> {
    let lac = Lac::start(&topology.lac, options);
    lac.settle(Duration::from_secs(20))?;
    let stage = lac.session(0)?.stage;
    lac.close()?;
    expect(
        matches!(&stage, Stage::Failed(reason) if reason.starts_with("authentication refused")),
        format!("expected a refused authentication, not {stage:?}"),
    )
}

fn fixed_address() -> Result<String> {
    let topology = topology()?;
    let mut manifest = Manifest::default();
    let fixed = "100.64.200.7";
    let entry = format!(
        "{{ password: {}, address: {fixed} }}",
        crate::manifest::PASSWORD
    );
    manifest.users.push(("fixed@isp".into(), entry));
    let _lnsd = start(&topology, &manifest)?;
    let options = Options {
        user: "fixed@isp".into(),
        request_address: [100, 64, 99, 99].into(),
        ..options()
    };
    let lac = Lac::up(&topology.lac, options)?;
    let address = lac.address(0)?;
    expect(
        address.to_string() == fixed,
        format!("{address} was given, not {fixed}"),
    )?;
    lac.close()?;
    Ok(String::new())
}

fn no_common_authentication() -> Result<String> {
    let topology = topology()?;
    let lnsd = start(&topology, &Manifest::with_authentication("[CHAP]"))?;
    for method in [Authentication::Pap, Authentication::None] {
        let options = Options {
            authentication: vec![method],
            ..options()
        };
        let lac = Lac::start(&topology.lac, options);
        lac.settle(Duration::from_secs(70))?;
        let stage = lac.session(0)?.stage;
        expect(
            matches!(stage, Stage::Failed(_)),
            format!("{method:?} came up: {stage:?}"),
        )?;
        lac.close()?;
    }
    expect(lnsd.status("sessions")? == 0, "a session is up")?;
    Ok(String::new())
}
