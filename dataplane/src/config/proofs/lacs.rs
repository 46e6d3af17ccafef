//! Fields of `spec.lacs`, and the Secrets that it names.

use lns_api::Effect::{AtOnce, NewSessions, NewTunnels};
use lns_crypto::Secret;
use lns_tables::time::Instant;
use lns_wire::l2tp::{Message, hidden};
use lns_wire::ppp::{Code, Protocol, lcp};

use super::ppp::old_and_new;
use super::stage::{Call, Edit, SHARED, SPARE, Stage, line};
use super::{Proof, proof};

pub(super) const PROOFS: &[Proof] = &[
    proof("spec.lacs", NewTunnels, order),
    proof("spec.lacs[].name", AtOnce, name),
    proof("spec.lacs[].from", NewTunnels, |stage| {
        only_the_old_tunnel_matches(stage, ("from: [198.51.100.0/24]", "from: [198.51.99.0/24]"));
    }),
    proof("spec.lacs[].hostName", NewTunnels, |stage| {
        only_the_old_tunnel_matches(stage, ("hostName: \"lac*\"", "hostName: \"other*\""));
    }),
    proof("spec.lacs[].tunnelAuthentication.mode", NewTunnels, mode),
    proof(
        "spec.lacs[].tunnelAuthentication.secretRef.name",
        NewTunnels,
        |stage| {
            const FROM: &str = "secretRef: { name: shared }, avpHiding";
            const TO: &str = "secretRef: { name: spare }, avpHiding";
            only_new_tunnels_need(stage, (FROM, TO), SPARE);
        },
    ),
    proof(
        "spec.lacs[].tunnelAuthentication.avpHiding",
        NewTunnels,
        avp_hiding,
    ),
    proof("spec.lacs[].admission", AtOnce, admission),
    proof("spec.lacs[].limits.maxTunnels", AtOnce, max_tunnels),
    proof("spec.lacs[].limits.maxSessions", AtOnce, max_sessions),
    proof("spec.lacs[].limits.maxSetupsPerSecond", AtOnce, max_setups),
    proof("spec.lacs[].helloSeconds", NewTunnels, hello),
    proof(
        "spec.lacs[].lcpRenegotiation",
        NewSessions,
        lcp_renegotiation,
    ),
    proof("spec.lacs[].pathMtu", NewSessions, path_mtu),
    proof("spec.lacs[].authentication", NewSessions, authentication),
    proof("Secret: current", NewTunnels, |stage| {
        const TO: &str = "a-newer-secret-of-some-length";
        only_new_tunnels_need(stage, (SHARED, TO), TO);
    }),
    proof("Secret: previous", NewTunnels, previous),
];

/// A LAC with this secret.
fn lac_knowing(stage: &mut Stage, secret: &str) -> usize {
    stage.lac_with(|settings| settings.secret = Some(Secret::new(secret.as_bytes())))
}

/// The old session is up still, and its tunnel takes one more call.
fn is_as_before(stage: &mut Stage, old: Call) {
    assert!(stage.is_up(old), "the live session ended");
    let next = stage.call(old.lac, "bob");
    assert!(stage.is_up(next), "the live tunnel takes no call");
}

/// Both entries match the LAC; the first wins. An entry that is taken out drains at once.
fn order(stage: &mut Stage) {
    let whole = stage.text().to_owned();
    let (_, rest) = whole.split_once("  - name: wholesale\n").unwrap();
    let (first, rest) = rest.split_once("  - name: others\n").unwrap();
    let (second, _) = rest.split_once("  ppp:\n").unwrap();
    let old = stage.alice();
    let swapped = format!("  - name: others\n{second}  - name: wholesale\n{first}");
    let entries = format!("  - name: wholesale\n{first}  - name: others\n{second}");
    stage.change(&[(&entries, &swapped)]);
    let new = stage.lac();
    assert_eq!(stage.entry_of(old.lac), "wholesale");
    assert_eq!(stage.entry_of(new), "others");
    is_as_before(stage, old);

    stage.change(&[(&format!("  - name: wholesale\n{first}"), "")]);
    assert!(stage.is_up(old));
    let next = stage.call(old.lac, "bob");
    assert!(!stage.is_up(next), "an entry that is gone takes no call");
    let next = stage.call(new, "bob");
    assert!(stage.is_up(next), "the other entry does");
}

/// Under another name it is another entry: the old one drains.
fn name(stage: &mut Stage) {
    let old = stage.alice();
    stage.change(&[("- name: wholesale\n", "- name: renamed\n")]);
    assert!(stage.is_up(old));
    let next = stage.call(old.lac, "bob");
    assert!(!stage.is_up(next));
    let new = stage.lac();
    assert_eq!(stage.entry_of(new), "renamed");
    assert_eq!(stage.entry_of(old.lac), "wholesale");
}

/// After `edit` the entry does not match the LAC any more.
fn only_the_old_tunnel_matches(stage: &mut Stage, edit: Edit<'_>) {
    let old = stage.alice();
    assert_eq!(stage.entry_of(old.lac), "wholesale");
    stage.change(&[edit]);
    let new = stage.lac();
    assert_eq!(stage.entry_of(new), "others");
    assert_eq!(stage.entry_of(old.lac), "wholesale");
    is_as_before(stage, old);
}

/// After `edit` the entry has another secret.
fn only_new_tunnels_need(stage: &mut Stage, edit: Edit<'_>, secret: &str) {
    let old = stage.alice();
    let early = lac_knowing(stage, secret);
    assert!(
        !stage.is_tunnel_up(early),
        "nobody knows the new secret yet"
    );
    stage.change(&[edit]);
    is_as_before(stage, old);
    let late = stage.lac();
    assert!(
        !stage.is_tunnel_up(late),
        "the old secret is not the new one"
    );
    let late = lac_knowing(stage, secret);
    assert!(stage.is_tunnel_up(late));
}

fn previous(stage: &mut Stage) {
    let old = stage.alice();
    let early = lac_knowing(stage, SPARE);
    assert!(!stage.is_tunnel_up(early));
    let both = format!("{{ current: {SHARED}, previous: {SPARE} }}");
    stage.change(&[(&format!("{{ current: {SHARED} }}"), &both)]);
    is_as_before(stage, old);
    let late = lac_knowing(stage, SPARE);
    // A LAC with the previous secret comes in at its second attempt at the latest.
    stage.run(10);
    assert!(stage.is_tunnel_up(late));
    stage.change(&[(&both, &format!("{{ current: {SHARED} }}"))]);
    assert!(
        stage.is_tunnel_up(late),
        "a live tunnel does not need it any more"
    );
    let later = lac_knowing(stage, SPARE);
    stage.run(10);
    assert!(!stage.is_tunnel_up(later));
}

fn mode(stage: &mut Stage) {
    let old = stage.alice();
    let challenged = |stage: &Stage, lac| {
        let messages = stage.messages(lac, Instant::ZERO);
        let challenge = messages.iter().find_map(|body| match Message::parse(body) {
            Ok(Message::Sccrp(sccrp)) => Some(sccrp.challenge.is_some()),
            Ok(_) | Err(_) => None,
        });
        challenge.expect("an SCCRP")
    };
    assert!(challenged(stage, old.lac));
    stage.change(&[(
        "{ mode: Secret, secretRef: { name: shared }, avpHiding: Never }",
        "{ mode: None }",
    )]);
    is_as_before(stage, old);
    let new = stage.lac_with(|settings| settings.secret = None);
    assert!(stage.is_tunnel_up(new));
    assert!(!challenged(stage, new));
}

fn avp_hiding(stage: &mut Stage) {
    let old = stage.alice();
    stage.change(&[("avpHiding: Never", "avpHiding: Always")]);
    let new = stage.lac();
    let since = stage.now();
    for lac in [old.lac, new] {
        let call = stage.call(lac, "bob");
        assert!(stage.is_up(call));
    }
    let hides = |lac| stage.messages(lac, since).iter().any(|body| hidden(body));
    assert!(!hides(old.lac));
    assert!(hides(new));
}

fn admission(stage: &mut Stage) {
    let old = stage.alice();
    stage.change(&[("admission: Accept", "admission: Drain")]);
    let refused = stage.call(old.lac, "bob");
    assert!(!stage.is_up(refused));
    assert!(stage.is_up(old), "what lives stays");
    stage.change(&[("admission: Drain", "admission: Refuse")]);
    let late = stage.lac();
    assert!(!stage.is_tunnel_up(late));
    assert!(stage.is_up(old), "what lives stays");
    stage.change(&[("admission: Refuse", "admission: Accept")]);
    is_as_before(stage, old);
}

fn max_tunnels(stage: &mut Stage) {
    let old = stage.alice();
    let second = stage.lac();
    assert!(stage.is_tunnel_up(second));
    stage.change(&[("maxTunnels: 16", "maxTunnels: 1")]);
    let third = stage.lac();
    assert!(!stage.is_tunnel_up(third));
    assert!(stage.is_tunnel_up(second), "what lives stays");
    is_as_before(stage, old);
}

fn max_sessions(stage: &mut Stage) {
    let old = stage.alice();
    let second = stage.call(old.lac, "bob");
    stage.change(&[("maxSessions: 100", "maxSessions: 2")]);
    let third = stage.call(old.lac, "carol");
    assert!(!stage.is_up(third));
    assert!(stage.is_up(old) && stage.is_up(second), "what lives stays");
    stage.change(&[("maxSessions: 2,", "maxSessions: 3,")]);
    let third = stage.call(old.lac, "carol");
    assert!(stage.is_up(third));
}

fn max_setups(stage: &mut Stage) {
    let old = stage.alice();
    let at_once = |stage: &mut Stage| {
        let users = ["alice", "bob", "carol"];
        let lines = users.map(|user| stage.world.add_line(old.lac, line(user)));
        stage.run(3);
        let calls = lines.map(|line| Call { line, ..old });
        calls.iter().filter(|call| stage.is_up(**call)).count()
    };
    assert_eq!(at_once(stage), 3);
    stage.change(&[("maxSetupsPerSecond: 100", "maxSetupsPerSecond: 1")]);
    assert_eq!(at_once(stage), 1);
    assert!(stage.is_up(old), "what lives stays");
}

/// Only the LAC's answers break the silence: no echo goes to the subscribers meanwhile.
fn hello(stage: &mut Stage) {
    stage.begin_with(&[("intervalSeconds: 30", "intervalSeconds: 3600")]);
    let old = stage.alice();
    stage.change(&[("helloSeconds: 60", "helloSeconds: 20")]);
    let new = stage.lac();
    let since = stage.now();
    stage.run(125);
    let hellos = |lac| {
        let messages = stage.messages(lac, since);
        let hello = |body: &&Vec<u8>| matches!(Message::parse(body), Ok(Message::Hello));
        messages.iter().filter(hello).count()
    };
    assert_eq!((hellos(old.lac), hellos(new)), (2, 6));
}

/// What the LAC has settled is used, and asks nothing of the subscriber, until it is asked anew.
fn lcp_renegotiation(stage: &mut Stage) {
    let lac = stage.lac();
    let request = (Protocol::LCP, Code::CONFIGURE_REQUEST);
    let old = stage.proxied_call(lac, "alice");
    assert!(stage.is_up(old));
    stage.change(&[("lcpRenegotiation: OnMismatch", "lcpRenegotiation: Always")]);
    let new = stage.proxied_call(lac, "bob");
    assert!(stage.is_up(new) && stage.is_up(old));
    assert_eq!(stage.count(old, request, Instant::ZERO), 0);
    assert!(stage.count(new, request, Instant::ZERO) > 0);
}

fn path_mtu(stage: &mut Stage) {
    let mss = |stage: &Stage, call, _| stage.path(call).mss;
    let (old, new) = old_and_new(stage, ("pathMtu: 1500", "pathMtu: 1000"), mss);
    // Outer IPv4, UDP, L2TP and PPP take 40 octets, IPv4 and TCP of the segment 40 more.
    assert_eq!((old, new), (1420, 920));
}

fn authentication(stage: &mut Stage) {
    let asked = |stage: &Stage, call, since| {
        let request = (Protocol::LCP, Code::CONFIGURE_REQUEST);
        stage.option(call, request, lcp::kind::AUTHENTICATION, since)
    };
    let edit = (
        "    authentication: [CHAP]\n  - name",
        "    authentication: [PAP]\n  - name",
    );
    let (old, new) = old_and_new(stage, edit, asked);
    assert_eq!(old.as_deref(), Some(&[0xc2, 0x23, 5][..]));
    assert_eq!(new.as_deref(), Some(&[0xc0, 0x23][..]));
}
