//! The canary: every secret of a manifest has a word in it that must be nowhere but there.

use std::time::Duration;

use anyhow::Result;
use nix::sys::signal::Signal;

use super::explain::Following;
use super::{Scenario, admin, expect, options, start, topology};
use crate::lac::{Authentication, Lac, Options};
use crate::lnsd::{self, Lnsd};
use crate::manifest::Manifest;
use crate::net::Topology;

pub(super) const SCENARIOS: &[Scenario] = &[Scenario {
    name: "report-canary",
    says: "no secret is in any file of the bundle, any answer, trace, log, metric or error",
    run: canary,
}];

/// What every secret of the canary scenario has in it.
const CANARY: &str = "c4nary";

fn with_secrets(secret: &'static str, password: &str) -> Manifest {
    let mut manifest = Manifest::default();
    for lac in &mut manifest.lacs {
        lac.secret = Some(secret);
    }
    manifest.users = vec![("user@isp".into(), password.into())];
    manifest
}

fn canary() -> Result<String> {
    let topology = topology()?;
    let manifest = with_secrets("c4nary-of-the-tunnel", "c4nary-of-the-user");
    expect(
        found_in(&manifest.yaml()).is_some(),
        "the canary is not found where it is",
    )?;
    let lnsd = start(&topology, &manifest)?;
    logins(&topology, "c4nary-of-the-tunnel", "c4nary-of-the-user")?;
    let manifest = with_secrets("c4nary-of-the-next-tunnel", "c4nary-of-the-next-user");
    lnsd.write_manifest(&manifest)?;
    reload(&lnsd)?;

    let mut said = Vec::new();
    let lac = followed(&lnsd, &mut said, || {
        let secret = "c4nary-of-the-next-tunnel";
        logins(&topology, secret, "c4nary-of-the-next-user")
    })?;
    compared(&lnsd, &mut said)?;
    for wrong in broken(&manifest) {
        let (code, text) = lnsd::check(&wrong)?;
        expect(code == 2, format!("check ends with {code}: {text}"))?;
        said.push(("lnsd check".to_owned(), text));
        std::fs::write(lnsd.manifest_path(), &wrong)?;
        reload(&lnsd)?;
    }
    answered(&lnsd, &mut said)?;
    let places = said.len();
    for (place, text) in said {
        let found = found_in(&text);
        expect(
            found.is_none(),
            format!("{place} has {found:?} in it:\n{text}"),
        )?;
    }
    lac.close()?;
    Ok(format!("{places} texts"))
}

/// Lets it look at its manifest, and waits until it has: taken over or refused.
fn reload(lnsd: &Lnsd<'_>) -> Result<()> {
    let reloads = |lnsd: &Lnsd<'_>| lnsd.metric("lns_reloads_total", &[]);
    let before = reloads(lnsd)?;
    lnsd.signal(Signal::SIGHUP)?;
    lnsd.wait(Duration::from_secs(10), "a reload", |lnsd| {
        Ok(reloads(lnsd)? > before)
    })
}

/// Does `what` while it is traced in words and into a file.
fn followed<T>(
    lnsd: &Lnsd<'_>,
    said: &mut Vec<(String, String)>,
    what: impl FnOnce() -> Result<T>,
) -> Result<T> {
    let folder = tempfile::tempdir()?;
    let capture = folder.path().join("trace.pcap").display().to_string();
    let traces = [["-o", "json"], ["-w", &capture]].map(|how| {
        let arguments = [&["--lac", "wholesale-a"], &how[..]].concat();
        Following::start(lnsd, &arguments)
    });
    let done = what()?;
    for trace in traces {
        let lines = trace?.end()?.join("\n");
        said.push(("lnsd trace".to_owned(), lines));
    }
    let login = said
        .iter()
        .any(|(_, text)| text.contains("Authenticate-Request"));
    expect(login, "no trace has a login by PAP")?;
    let text = String::from_utf8_lossy(&std::fs::read(&capture)?).into_owned();
    expect(text.contains("user@isp"), "no login in the capture file")?;
    said.push(("a capture file".to_owned(), text));
    Ok(done)
}

/// What `lnsd check --against running` says of other secrets.
fn compared(lnsd: &Lnsd<'_>, said: &mut Vec<(String, String)>) -> Result<()> {
    let other = with_secrets("c4nary-of-tomorrow", "c4nary-of-tomorrow");
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), other.yaml())?;
    let path = file.path().display().to_string();
    let output = lnsd.command(&["check", "--manifest", &path, "--against", "running"])?;
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    expect(
        text.contains("Secret"),
        format!("no Secret differs: {text}"),
    )?;
    said.push(("lnsd check --against running".to_owned(), text));
    Ok(())
}

/// What the process answers and has logged.
fn answered(lnsd: &Lnsd<'_>, said: &mut Vec<(String, String)>) -> Result<()> {
    for path in [
        "/metrics",
        "/v1/status",
        "/v1/lacs",
        "/v1/tunnels",
        "/v1/sessions",
        "/v1/failures",
        "/v1/pools",
    ] {
        said.push((path.to_owned(), lnsd.get(path)?.1));
    }
    let (files, shown) = admin::report(lnsd)?;
    for file in ["manifest.yaml", "failures.json", "log.txt"] {
        expect(files.contains_key(file), format!("no {file} in the bundle"))?;
    }
    said.extend(files);
    said.push(("lnsd report".to_owned(), shown));
    said.push(("log".to_owned(), lnsd.log()));
    Ok(())
}

/// A login of each kind, and each kind of failure. The LAC of the last login stays.
fn logins(topology: &Topology, secret: &str, password: &str) -> Result<Lac> {
    let right = Options {
        secret: Some(secret.into()),
        password: password.into(),
        ..options()
    };
    for (proxy, authentication) in [
        (false, Authentication::Pap),
        (false, Authentication::Chap),
        (false, Authentication::Mschapv2),
        (true, Authentication::Pap),
        (true, Authentication::Chap),
    ] {
        let authentication = vec![authentication];
        let good = Options {
            authentication,
            proxy,
            ..right.clone()
        };
        Lac::up(&topology.lac, good.clone())?.close()?;
        let wrong = Options {
            password: "c4nary-that-is-wrong".into(),
            ..good
        };
        let lac = Lac::start(&topology.lac, wrong);
        lac.settle(Duration::from_secs(20))?;
        expect(lac.count_up() == 0, "a wrong password logged in")?;
        lac.close()?;
    }
    let stranger = Options {
        secret: Some("c4nary-of-a-stranger".into()),
        ..right.clone()
    };
    let lac = Lac::start(&topology.lac, stranger);
    lac.settle(Duration::from_secs(20))?;
    lac.close()?;
    Lac::up(&topology.lac, right)
}

/// Manifests that are wrong just where the secrets are.
fn broken(manifest: &Manifest) -> Vec<String> {
    let good = manifest.yaml();
    [
        ("{ current: c4nary", "{ former: c4nary"),
        ("{ current: c4nary", "{ current: [c4nary], previous: c4nary"),
        ("\"user@isp\": c4nary", "\"user@isp\": c4nary: c4nary"),
        (
            "\"user@isp\": c4nary",
            "\"user@isp\": { pasword: c4nary }\n    \"other\": c4nary",
        ),
        ("stringData: { current: c4nary", "data: { current: c4nary"),
    ]
    .map(|(right, wrong)| good.replace(right, wrong))
    .to_vec()
}

/// The canary in `text`, as it is or as digits.
fn found_in(text: &str) -> Option<String> {
    let hex: String = CANARY.bytes().map(|octet| format!("{octet:02x}")).collect();
    let apart: Vec<String> = CANARY.bytes().map(|octet| octet.to_string()).collect();
    [CANARY.to_owned(), hex.to_uppercase(), hex, apart.join(", ")]
        .into_iter()
        .find(|trace| text.contains(trace.as_str()))
}
