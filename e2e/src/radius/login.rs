//! Who gets in when RADIUS is asked, and who does not, and what they are told.

use std::time::Duration;

use anyhow::Result;

use super::rig::{self, Radius};
use super::server::{FreeRadius, Server};
use crate::lac::{Authentication, Lac, Options};
use crate::lnsd::Lnsd;
use crate::manifest::{Manifest, PASSWORD};
use crate::scenario::{Scenario, expect, options};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "radius-pap",
        says: "a subscriber logs in with PAP",
        run: || log_in("[PAP]", Authentication::Pap, false),
    },
    Scenario {
        name: "radius-chap",
        says: "a subscriber logs in with CHAP",
        run: || log_in("[CHAP]", Authentication::Chap, false),
    },
    Scenario {
        name: "radius-mschapv2",
        says: "a subscriber logs in with MS-CHAPv2, and the server proves itself",
        run: || log_in("[MSCHAPv2]", Authentication::Mschapv2, false),
    },
    Scenario {
        name: "radius-proxied",
        says: "what the LAC has overheard goes to the server",
        run: || log_in("[CHAP]", Authentication::Chap, true),
    },
    Scenario {
        name: "radius-refused",
        says: "the subscriber is told what the server says, and so is the engineer",
        run: refused,
    },
    Scenario {
        name: "radius-local-users",
        says: "local users are asked before or after RADIUS, as the manifest says",
        run: local_users,
    },
    Scenario {
        name: "radius-unsigned",
        says: "a server without Message-Authenticator has a reason of its own, and is not dead",
        run: unsigned,
    },
];

/// One subscriber, and one whom the server knows and refuses.
pub(super) const USERS: &str = "user@isp Cleartext-Password := \"a-long-password\"\n\
    suspended@isp Auth-Type := Reject\n    Reply-Message = \"line suspended: call 0800\"\n";

fn log_in(offered: &'static str, method: Authentication, proxy: bool) -> Result<String> {
    let topology = rig::topology()?;
    let radius = FreeRadius::start(&topology.core, Server::new(0, USERS))?;
    let manifest = Manifest {
        authentication: offered,
        ..Radius::one().manifest()
    };
    let lnsd = Lnsd::start(&topology.lns, &manifest)?;
    let options = Options {
        authentication: vec![method],
        proxy,
        ..options()
    };
    let lac = Lac::up(&topology.lac, options.clone())?;
    let view = lnsd.rows("sessions", &["sessions"])?;
    expect(view.len() == 1, "there is not one session")?;
    let report = lac.close()?;
    // A wrong password is refused by the same server.
    let wrong = Options {
        password: "not-the-password".into(),
        ..options
    };
    let lac = Lac::start(&topology.lac, wrong);
    lac.settle(Duration::from_secs(60))?;
    expect(lac.count_up() == 0, "a wrong password is let in")?;
    lac.close()?;
    lnsd.wait(Duration::from_secs(20), "the record of the end", |_| {
        let records = radius.records()?;
        Ok(records
            .iter()
            .any(|record| record.get("Acct-Status-Type") == Some("Stop")))
    })?;
    Ok(format!("up in {} ms", report.setup_milliseconds_p50))
}

fn refused() -> Result<String> {
    let topology = rig::topology()?;
    let _radius = FreeRadius::start(&topology.core, Server::new(0, USERS))?;
    let lnsd = Lnsd::start(&topology.lns, &Radius::one().manifest())?;
    for method in [
        Authentication::Pap,
        Authentication::Chap,
        Authentication::Mschapv2,
    ] {
        let options = Options {
            user: "suspended@isp".into(),
            authentication: vec![method],
            ..options()
        };
        let lac = Lac::start(&topology.lac, options);
        lac.settle(Duration::from_secs(60))?;
        let told = lac.failures();
        expect(
            told.iter()
                .any(|text| text.contains("line suspended: call 0800")),
            format!("with {method:?} the subscriber is told {told:?}"),
        )?;
        lac.close()?;
    }
    let failures = lnsd.table(&["failures", "--user", "suspended@isp", "-o", "wide"])?;
    for word in ["RADIUS", "r1", "line suspended: call 0800"] {
        expect(failures.contains(word), format!("no {word} in\n{failures}"))?;
    }
    Ok(String::new())
}

fn local_users() -> Result<String> {
    let topology = rig::topology()?;
    let users = "remote@isp Cleartext-Password := \"a-long-password\"\n\
                 both@isp Cleartext-Password := \"of-the-server\"\n";
    let _radius = FreeRadius::start(&topology.core, Server::new(0, users))?;
    for (order, password_of_both) in [("Before", PASSWORD), ("After", "of-the-server")] {
        let manifest = Manifest {
            users: vec![
                ("local@isp".into(), PASSWORD.into()),
                ("both@isp".into(), PASSWORD.into()),
            ],
            subscribers: format!("localUsers: {{ secretRef: {{ name: users }}, order: {order} }}"),
            ..Radius::one().manifest()
        };
        let lnsd = Lnsd::start(&topology.lns, &manifest)?;
        for (user, password) in [
            ("local@isp", PASSWORD),
            ("remote@isp", PASSWORD),
            ("both@isp", password_of_both),
        ] {
            let options = Options {
                user: user.into(),
                password: password.into(),
                ..options()
            };
            Lac::up(&topology.lac, options)?.close()?;
        }
        drop(lnsd);
    }
    Ok(String::new())
}

fn unsigned() -> Result<String> {
    let topology = rig::topology()?;
    let server = Server {
        signs: false,
        ..Server::new(0, USERS)
    };
    let _radius = FreeRadius::start(&topology.core, server)?;
    let lnsd = Lnsd::start(&topology.lns, &Radius::one().manifest())?;
    let lac = Lac::start(&topology.lac, options());
    lac.settle(Duration::from_secs(90))?;
    expect(lac.count_up() == 0, "an unsigned Accept lets in")?;
    lac.close()?;
    let failures = lnsd.table(&["failures", "-o", "json"])?;
    expect(
        failures.contains("no_message_authenticator"),
        format!("the reason is not told:\n{failures}"),
    )?;
    // Who trusts the way to such a server says so.
    let never = Radius {
        server: ", requireMessageAuthenticator: Never".into(),
        ..Radius::one()
    };
    let reload = lnsd.reload(&never.manifest().yaml())?;
    expect(reload.is_ok(), format!("{reload:?}"))?;
    Lac::up(&topology.lac, options())?.close()?;
    Ok(String::new())
}
