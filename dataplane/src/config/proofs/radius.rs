//! Fields of `spec.radius`, and the Secrets that it names.
//!
//! A reload gives clients, spool and the server of dynamic authorization what the new manifest means, and
//! nothing else of it differs; what they do with it is shown where they are.

use core::time::Duration;
use std::sync::Arc;

use lns_api::Effect::{self, AtOnce};
use lns_crypto::Secret;
use lns_node::radius::Order;
use lns_radius::config::{
    Check, Config, LoadBalance, Mode, Purpose, Require, Secrets, StatusCheck, Transport,
};
use lns_radius::dynamic;
use lns_radius::record::Status;
use lns_wire::radius::{AttributeList, kind};

use super::stage::{SPARE, Stage, pem};
use super::{Proof, proof};
use crate::config::{RadiusSetup, Tls};

/// A text of the manifest, another, and what of the setup differs for it.
macro_rules! proofs {
    ($($field:literal, $effect:expr, [$(($from:expr, $to:expr)),+], $change:expr;)*) => {
        pub(super) const PROOFS: &[Proof] = &[
            proof("spec.radius.accounting.interimSeconds", AtOnce, interim),
            $(proof($field, $effect, |stage| taken(stage, &[$(($from, $to)),+], $change)),)*
        ];
    };
}

const AT_ONCE: Effect = AtOnce;

proofs! {
    "spec.radius.nasIdentifier", AT_ONCE, [("nasIdentifier: edge1", "nasIdentifier: edge2")],
        |it| identify(it, b"edge2", [192, 0, 2, 10]);
    "spec.radius.nasAddress", AT_ONCE, [("nasAddress: 192.0.2.10", "nasAddress: 192.0.2.11")],
        |it| {
            it.nas_address = Some([192, 0, 2, 11].into());
            identify(it, b"edge1", [192, 0, 2, 11]);
        };
    "spec.radius.loadBalance", AT_ONCE, [("loadBalance: FailOver", "loadBalance: KeyedBalance")],
        |it| all(it, |config| config.balance = LoadBalance::KeyedBalance);

    "spec.radius.authentication.servers", AT_ONCE,
        [("{ name: ask-a,", "{ name: ask-c,"), ("{ name: ask-b,", "{ name: ask-a,"), ("{ name: ask-c,", "{ name: ask-b,")],
        |it| {
            asking(it).servers[0].name = "ask-b".into();
            asking(it).servers[1].name = "ask-a".into();
            rename(it, Purpose::Authentication, "ask-b", "ask-a");
        };
    "spec.radius.authentication.servers[].name", AT_ONCE, [("name: ask-a", "name: ask-z")],
        |it| asking(it).servers[0].name = "ask-z".into();
    "spec.radius.authentication.servers[].address", AT_ONCE, [("10.0.0.1,", "10.0.0.9,")],
        |it| asking(it).servers[0].address.set_ip([10, 0, 0, 9].into());
    "spec.radius.authentication.servers[].port", AT_ONCE, [(" port: 18121,", "")],
        |it| asking(it).servers[0].address.set_port(1812);
    "spec.radius.authentication.servers[].transport", AT_ONCE,
        [("secretRef: { name: ask }, ", "transport: TLS, tlsSecretRef: { name: radsec }, ")],
        |it| {
            asking(it).servers[0].transport = Transport::Tls;
            asking(it).servers[0].secrets = secret("radsec");
            let tls = Tls { server_name: None, ..it.tls[&(Purpose::Authentication, "ask-b".into())].clone() };
            it.tls.insert((Purpose::Authentication, "ask-a".into()), tls);
        };
    "spec.radius.authentication.servers[].secretRef.name", AT_ONCE, [("{ name: ask }", "{ name: spare }")],
        |it| asking(it).servers[0].secrets = secret(SPARE);
    "spec.radius.authentication.servers[].tlsSecretRef.name", AT_ONCE,
        [("{ name: radsec }, tlsServerName: ask", "{ name: other-radsec }, tlsServerName: ask")],
        |it| other_tls(it, Purpose::Authentication, "ask-b");
    "spec.radius.authentication.servers[].tlsServerName", AT_ONCE,
        [("ask.isp.example", "ask2.isp.example")],
        |it| tls(it, Purpose::Authentication, "ask-b").server_name = Some("ask2.isp.example".into());
    "spec.radius.authentication.servers[].requireMessageAuthenticator", AT_ONCE,
        [("requireMessageAuthenticator: Always, realms", "requireMessageAuthenticator: Auto, realms")],
        |it| asking(it).servers[0].message_authenticator = Require::Auto;
    "spec.radius.authentication.servers[].realms", AT_ONCE, [("[ask.example]", "[ask.example, more.example]")],
        |it| asking(it).servers[0].realms.push("more.example".into());
    "spec.radius.authentication.mode", AT_ONCE, [("mode: Originate", "mode: Synchronous")],
        |it| asking(it).mode = Mode::Synchronous;
    "spec.radius.authentication.limits.maxConnections", AT_ONCE, [("maxConnections: 9", "maxConnections: 5")],
        |it| asking(it).limits.max_connections = 5;
    "spec.radius.authentication.limits.maxInFlight", AT_ONCE, [("maxInFlight: 4001", "maxInFlight: 1000")],
        |it| asking(it).limits.max_in_flight = 1000;
    "spec.radius.authentication.statusCheck.type", AT_ONCE, [("type: AccessRequest", "type: Auto")],
        |it| asking(it).check = StatusCheck::Auto(check(b"probe", Some("probe-password")));
    "spec.radius.authentication.statusCheck.attributes", AT_ONCE, [("User-Name: probe }", "User-Name: another }")],
        |it| asking(it).check = StatusCheck::AccessRequest(check(b"another", Some("probe-password")));
    "spec.radius.authentication.statusCheck.passwordSecretRef.name", AT_ONCE,
        [("passwordSecretRef: { name: probe }", "passwordSecretRef: { name: other-probe }")],
        |it| asking(it).check = StatusCheck::AccessRequest(check(b"probe", Some("other-password")));
    "spec.radius.authentication.retransmission.initialSeconds", AT_ONCE, [("initialSeconds: 3", "initialSeconds: 4")],
        |it| asking(it).timing.initial = Duration::from_secs(4);
    "spec.radius.authentication.retransmission.maximumSeconds", AT_ONCE, [("maximumSeconds: 17", "maximumSeconds: 10")],
        |it| asking(it).timing.longest = Duration::from_secs(10);
    "spec.radius.authentication.retransmission.maximumCount", AT_ONCE, [("maximumCount: 6", "maximumCount: 2")],
        |it| asking(it).timing.count = 2;
    "spec.radius.authentication.retransmission.maximumDurationSeconds", AT_ONCE,
        [("maximumDurationSeconds: 31", "maximumDurationSeconds: 20")],
        |it| asking(it).timing.duration = Duration::from_secs(20);

    "spec.radius.accounting.servers", AT_ONCE,
        [("{ name: tell-a,", "{ name: tell-c,"), ("{ name: tell-b,", "{ name: tell-a,"), ("{ name: tell-c,", "{ name: tell-b,")],
        |it| {
            telling(it).servers[0].name = "tell-b".into();
            telling(it).servers[1].name = "tell-a".into();
            rename(it, Purpose::Accounting, "tell-b", "tell-a");
        };
    "spec.radius.accounting.servers[].name", AT_ONCE, [("name: tell-a", "name: tell-z")],
        |it| telling(it).servers[0].name = "tell-z".into();
    "spec.radius.accounting.servers[].address", AT_ONCE, [("10.0.1.1,", "10.0.1.9,")],
        |it| telling(it).servers[0].address.set_ip([10, 0, 1, 9].into());
    "spec.radius.accounting.servers[].port", AT_ONCE, [(" port: 18131,", "")],
        |it| telling(it).servers[0].address.set_port(1813);
    "spec.radius.accounting.servers[].transport", AT_ONCE,
        [("secretRef: { name: tell }, ", "transport: TLS, tlsSecretRef: { name: radsec }, ")],
        |it| {
            telling(it).servers[0].transport = Transport::Tls;
            telling(it).servers[0].secrets = secret("radsec");
            let tls = Tls { server_name: None, ..it.tls[&(Purpose::Accounting, "tell-b".into())].clone() };
            it.tls.insert((Purpose::Accounting, "tell-a".into()), tls);
        };
    "spec.radius.accounting.servers[].secretRef.name", AT_ONCE, [("{ name: tell }", "{ name: spare }")],
        |it| telling(it).servers[0].secrets = secret(SPARE);
    "spec.radius.accounting.servers[].tlsSecretRef.name", AT_ONCE,
        [("{ name: radsec }, tlsServerName: tell", "{ name: other-radsec }, tlsServerName: tell")],
        |it| other_tls(it, Purpose::Accounting, "tell-b");
    "spec.radius.accounting.servers[].tlsServerName", AT_ONCE, [(" tlsServerName: tell.isp.example", "")],
        |it| tls(it, Purpose::Accounting, "tell-b").server_name = None;
    "spec.radius.accounting.servers[].realms", AT_ONCE, [(", realms: [tell.example]", "")],
        |it| telling(it).servers[0].realms.clear();
    "spec.radius.accounting.limits.maxConnections", AT_ONCE, [("maxConnections: 10", "maxConnections: 5")],
        |it| records(it, |config| config.limits.max_connections = 5);
    "spec.radius.accounting.limits.maxInFlight", AT_ONCE, [("maxInFlight: 4002", "maxInFlight: 1000")],
        |it| records(it, |config| config.limits.max_in_flight = 1000);
    "spec.radius.accounting.statusCheck.type", AT_ONCE, [("type: AccountingRequest", "type: Auto")],
        |it| telling(it).check = StatusCheck::Auto(check(b"teller", None));
    "spec.radius.accounting.statusCheck.attributes", AT_ONCE, [("User-Name: teller", "User-Name: another")],
        |it| telling(it).check = StatusCheck::AccountingRequest(check(b"another", None));
    "spec.radius.accounting.retransmission.initialSeconds", AT_ONCE, [("initialSeconds: 1", "initialSeconds: 2")],
        |it| records(it, |config| config.timing.initial = Duration::from_secs(2));
    "spec.radius.accounting.retransmission.maximumSeconds", AT_ONCE, [("maximumSeconds: 18", "maximumSeconds: 9")],
        |it| records(it, |config| config.timing.longest = Duration::from_secs(9));
    "spec.radius.accounting.retransmission.maximumCount", AT_ONCE, [("maximumCount: 7", "maximumCount: 3")],
        |it| records(it, |config| config.timing.count = 3);
    "spec.radius.accounting.retransmission.maximumDurationSeconds", AT_ONCE,
        [("maximumDurationSeconds: 29", "maximumDurationSeconds: 8")],
        |it| records(it, |config| config.timing.duration = Duration::from_secs(8));
    "spec.radius.accounting.timestamps", AT_ONCE, [("timestamps: EventTimestamp", "timestamps: DelayTime")],
        |it| records(it, |config| config.delay_time = true);
    "spec.radius.accounting.copies", AT_ONCE,
        [("{ name: copy-a,", "{ name: copy-c,"), ("{ name: copy-b,", "{ name: copy-a,"), ("{ name: copy-c,", "{ name: copy-b,")],
        |it| {
            it.copies[0].servers[0].name = "copy-b".into();
            it.copies[1].servers[0].name = "copy-a".into();
            rename(it, Purpose::Copy, "copy-b", "copy-a");
        };
    "spec.radius.accounting.copies[].name", AT_ONCE, [("name: copy-a", "name: copy-z")],
        |it| it.copies[0].servers[0].name = "copy-z".into();
    "spec.radius.accounting.copies[].address", AT_ONCE, [("10.0.2.1,", "10.0.2.9,")],
        |it| it.copies[0].servers[0].address.set_ip([10, 0, 2, 9].into());
    "spec.radius.accounting.copies[].port", AT_ONCE, [(" port: 18132,", "")],
        |it| it.copies[0].servers[0].address.set_port(1813);
    "spec.radius.accounting.copies[].transport", AT_ONCE,
        [("secretRef: { name: copy }, ", "transport: TLS, tlsSecretRef: { name: radsec }, ")],
        |it| {
            it.copies[0].servers[0].transport = Transport::Tls;
            it.copies[0].servers[0].secrets = secret("radsec");
            let tls = Tls { server_name: None, ..it.tls[&(Purpose::Copy, "copy-b".into())].clone() };
            it.tls.insert((Purpose::Copy, "copy-a".into()), tls);
        };
    "spec.radius.accounting.copies[].secretRef.name", AT_ONCE, [("{ name: copy }", "{ name: spare }")],
        |it| it.copies[0].servers[0].secrets = secret(SPARE);
    "spec.radius.accounting.copies[].tlsSecretRef.name", AT_ONCE,
        [("{ name: radsec }, tlsServerName: copy", "{ name: other-radsec }, tlsServerName: copy")],
        |it| other_tls(it, Purpose::Copy, "copy-b");
    "spec.radius.accounting.copies[].tlsServerName", AT_ONCE, [(" tlsServerName: copy.isp.example", "")],
        |it| tls(it, Purpose::Copy, "copy-b").server_name = None;
    "spec.radius.accounting.copies[].realms", AT_ONCE, [(", realms: [copy.example]", "")],
        |it| it.copies[0].servers[0].realms.clear();
    "spec.radius.accounting.spool.maxBytes", AT_ONCE, [("maxBytes: 10000000", "maxBytes: 20000000")],
        |it| it.spool_max = 20_000_000;

    "spec.radius.dynamicAuthorization.port", AT_ONCE, [("port: 3799", "port: 3800")],
        |it| it.dynamic.as_mut().unwrap().0 = 3800;
    "spec.radius.dynamicAuthorization.clients", AT_ONCE,
        [("{ name: oss-a,", "{ name: oss-c,"), ("{ name: oss-b,", "{ name: oss-a,"), ("{ name: oss-c,", "{ name: oss-b,")],
        |it| {
            clients(it)[0].name = "oss-b".into();
            clients(it)[1].name = "oss-a".into();
        };
    "spec.radius.dynamicAuthorization.clients[].name", AT_ONCE, [("name: oss-a", "name: oss-z")],
        |it| clients(it)[0].name = "oss-z".into();
    "spec.radius.dynamicAuthorization.clients[].from", AT_ONCE, [("[10.0.3.1/32]", "[10.0.3.0/28]")],
        |it| clients(it)[0].from = vec!["10.0.3.0/28".parse().unwrap()];
    "spec.radius.dynamicAuthorization.clients[].secretRef.name", AT_ONCE, [("{ name: oss }", "{ name: spare }")],
        |it| clients(it)[0].secrets = secret(SPARE);
    "spec.radius.dynamicAuthorization.clients[].requireMessageAuthenticator", AT_ONCE,
        [("requireMessageAuthenticator: Always }", "requireMessageAuthenticator: Never }")],
        |it| clients(it)[0].message_authenticator = Require::Never;

    "RADIUS Secret: current", AT_ONCE, [("current: ask-secret-of-some-length", "current: another-ask-secret-here")],
        |it| asking(it).servers[0].secrets = secret("another-ask-secret-here");
    "RADIUS Secret: previous", AT_ONCE,
        [("{ current: tell-secret-of-some-length }", "{ current: tell-secret-of-some-length, previous: tell-secret-of-other-days }")],
        |it| telling(it).servers[0].secrets.previous = Some(Secret::new(b"tell-secret-of-other-days".as_slice()));
    "Secret: tls.crt", AT_ONCE, [("(a certificate)", "(b certificate)")],
        |it| each_tls(it, |tls| tls.certificate = pem("(b certificate)"));
    "Secret: tls.key", AT_ONCE, [("(a key)", "(b key)")],
        |it| each_tls(it, |tls| tls.key = pem("(b key)"));
    "Secret: ca.crt", AT_ONCE, [("(a authority)", "(b authority)")],
        |it| each_tls(it, |tls| tls.authorities = pem("(b authority)"));
    "Secret: password", AT_ONCE, [("password: probe-password", "password: third-password")],
        |it| asking(it).check = StatusCheck::AccessRequest(check(b"probe", Some("third-password")));
}

/// The reload takes the field over, and nothing else differs.
fn taken(stage: &mut Stage, edits: &[(&str, &str)], change: fn(&mut RadiusSetup)) {
    let before = stage.setup.radius.clone();
    let mut expected = before.clone().unwrap();
    change(&mut expected);
    assert_ne!(before.as_ref(), Some(&expected), "the proof shows nothing");
    stage.change(edits);
    assert_eq!(stage.setup.radius, Some(expected));
}

/// Who came in before is told of as often as who comes in after.
fn interim(stage: &mut Stage) {
    let old = stage.alice();
    stage.change(&[("interimSeconds: 600", "interimSeconds: 60")]);
    let new = stage.call(old.lac, "bob");
    assert!(stage.is_up(new));
    stage.orders();
    stage.run(70);
    let told = |order: &Order, name: &[u8]| match order {
        Order::Record(record) if record.status == Status::Interim => {
            let mut attributes = record.attributes.iter();
            attributes.any(|it| (it.kind, it.value) == (kind::USER_NAME, name))
        }
        Order::Record(_) | Order::Ask(_) | Order::Repeat(_) | Order::Cancel(_) => false,
    };
    let orders = stage.orders();
    assert_eq!(orders.iter().filter(|it| told(it, b"bob")).count(), 1);
    assert_eq!(orders.iter().filter(|it| told(it, b"alice")).count(), 1);
}

fn asking(setup: &mut RadiusSetup) -> &mut Config {
    setup.authentication.as_mut().unwrap()
}

fn telling(setup: &mut RadiusSetup) -> &mut Config {
    setup.accounting.as_mut().unwrap()
}

fn clients(setup: &mut RadiusSetup) -> &mut Vec<dynamic::Client> {
    &mut setup.dynamic.as_mut().unwrap().1.clients
}

/// Servers and copies.
fn records(setup: &mut RadiusSetup, change: fn(&mut Config)) {
    setup.accounting.iter_mut().for_each(change);
    setup.copies.iter_mut().for_each(change);
}

fn all(setup: &mut RadiusSetup, change: fn(&mut Config)) {
    setup.authentication.iter_mut().for_each(change);
    records(setup, change);
}

fn identify(setup: &mut RadiusSetup, name: &[u8], address: [u8; 4]) {
    let mut identity = AttributeList::new();
    identity.push(kind::NAS_IDENTIFIER, name).unwrap();
    identity.push_ipv4(kind::NAS_IP_ADDRESS, address.into());
    setup.dynamic.as_mut().unwrap().1.identity = identity.clone();
    let configs = setup.authentication.iter_mut().chain(&mut setup.accounting);
    for config in configs.chain(&mut setup.copies) {
        config.identity = identity.clone();
    }
}

fn secret(text: &str) -> Secrets {
    Secrets {
        current: Secret::new(text.as_bytes()),
        previous: None,
    }
}

fn check(user: &[u8], password: Option<&str>) -> Check {
    let mut attributes = AttributeList::new();
    attributes.push(kind::USER_NAME, user).unwrap();
    Check {
        attributes,
        password: password.map(|text| Secret::new(text.as_bytes())),
    }
}

fn tls<'a>(setup: &'a mut RadiusSetup, purpose: Purpose, server: &str) -> &'a mut Tls {
    setup.tls.get_mut(&(purpose, server.into())).unwrap()
}

fn each_tls(setup: &mut RadiusSetup, change: fn(&mut Tls)) {
    setup.tls.values_mut().for_each(change);
}

/// The texts of the Secret `other-radsec` in the place of those of `radsec`.
fn other_tls(setup: &mut RadiusSetup, purpose: Purpose, server: &str) {
    let tls = tls(setup, purpose, server);
    tls.certificate = pem("(other certificate)");
    tls.key = pem("(other key)");
    tls.authorities = pem("(other authority)");
}

fn rename(setup: &mut RadiusSetup, purpose: Purpose, from: &str, to: &str) {
    let tls = setup.tls.remove(&(purpose, Arc::from(from))).unwrap();
    setup.tls.insert((purpose, to.into()), tls);
}
