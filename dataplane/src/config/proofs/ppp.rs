//! Fields of `spec.ppp`: what lives keeps what it began with, through every negotiation of its own.

use core::fmt::Debug;
use core::time::Duration;

use lns_api::Effect::NewSessions;
use lns_sim::peers::Quirks;
use lns_tables::time::Instant;
use lns_wire::ppp::{Code, Protocol, ipcp, lcp};

use super::stage::{Call, Edit, Stage, line_with, restless};
use super::{Proof, proof};

pub(super) const PROOFS: &[Proof] = &[
    proof("spec.ppp.authentication", NewSessions, authentication),
    proof(
        "spec.ppp.proxiedAuthentication",
        NewSessions,
        proxied_authentication,
    ),
    proof("spec.ppp.mru", NewSessions, mru),
    proof("spec.ppp.dns", NewSessions, dns),
    proof("spec.ppp.rechallengeSeconds", NewSessions, rechallenge),
    proof("spec.ppp.echo.intervalSeconds", NewSessions, echo_interval),
    proof("spec.ppp.echo.failures", NewSessions, echo_failures),
];

const CHALLENGE: (Protocol, Code) = (Protocol::CHAP, Code(1));
const REQUEST: (Protocol, Code) = (Protocol::LCP, Code::CONFIGURE_REQUEST);

/// Changes the manifest while alice is up, who then negotiates anew, and lets bob come in through the
/// same tunnel. What `observe` sees of her is as before; what it sees of him is not. Both of it.
pub(super) fn old_and_new<T: Debug + PartialEq>(
    stage: &mut Stage,
    edit: Edit<'_>,
    observe: impl Fn(&Stage, Call, Instant) -> T,
) -> (T, T) {
    let lac = stage.lac();
    let old = stage.call_with(lac, restless("alice"));
    assert!(stage.is_up(old));
    let before = observe(stage, old, Instant::ZERO);
    stage.change(&[edit]);
    let since = stage.now();
    let new = stage.call(lac, "bob");
    stage.run(60);
    assert!(stage.is_up(old) && stage.is_up(new));
    assert!(
        stage.count(old, REQUEST, since) > 0,
        "alice negotiated anew"
    );
    assert_eq!(
        observe(stage, old, since),
        before,
        "the live session changed"
    );
    let after = observe(stage, new, since);
    assert_ne!(after, before, "the new session goes by the old value");
    (before, after)
}

fn authentication(stage: &mut Stage) {
    stage.begin_with(&[("    authentication: [CHAP]\n  - name", "  - name")]);
    let asked =
        |stage: &Stage, call, since| stage.option(call, REQUEST, lcp::kind::AUTHENTICATION, since);
    let (old, new) = old_and_new(
        stage,
        ("authentication: [CHAP]", "authentication: [PAP]"),
        asked,
    );
    assert_eq!(old.as_deref(), Some(&[0xc2, 0x23, 5][..]));
    assert_eq!(new.as_deref(), Some(&[0xc0, 0x23][..]));
}

fn proxied_authentication(stage: &mut Stage) {
    let lac = stage.lac();
    let old = stage.proxied_call(lac, "alice");
    stage.change(&[(
        "proxiedAuthentication: Use",
        "proxiedAuthentication: Ignore",
    )]);
    let new = stage.proxied_call(lac, "bob");
    assert!(stage.is_up(old) && stage.is_up(new));
    assert_eq!(stage.count(old, CHALLENGE, Instant::ZERO), 0);
    assert!(stage.count(new, CHALLENGE, Instant::ZERO) > 0);
}

fn mru(stage: &mut Stage) {
    let asked = |stage: &Stage, call, since| stage.option(call, REQUEST, lcp::kind::MRU, since);
    let (old, new) = old_and_new(stage, ("mru: 1492", "mru: 1400"), asked);
    assert_eq!(old, Some(1492_u16.to_be_bytes().to_vec()));
    assert_eq!(new, Some(1400_u16.to_be_bytes().to_vec()));
}

fn dns(stage: &mut Stage) {
    let told = |stage: &Stage, call, since| {
        let nak = (Protocol::IPCP, Code::CONFIGURE_NAK);
        stage.option(call, nak, ipcp::kind::PRIMARY_DNS, since)
    };
    let (old, new) = old_and_new(stage, ("dns: [192.0.2.53]", "dns: [192.0.2.54]"), told);
    assert_eq!(old, Some(vec![192, 0, 2, 53]));
    assert_eq!(new, Some(vec![192, 0, 2, 54]));
}

fn rechallenge(stage: &mut Stage) {
    let old = stage.alice();
    stage.change(&[("rechallengeSeconds: 0", "rechallengeSeconds: 20")]);
    let new = stage.call(old.lac, "bob");
    let since = stage.now();
    stage.run(70);
    assert!(stage.is_up(old) && stage.is_up(new));
    let asked = |call| stage.count(call, CHALLENGE, since);
    assert_eq!((asked(old), asked(new)), (0, 3));
}

fn echo_interval(stage: &mut Stage) {
    let old = stage.alice();
    stage.change(&[("intervalSeconds: 30", "intervalSeconds: 10")]);
    let new = stage.call(old.lac, "bob");
    let since = stage.now();
    stage.run(100);
    let echoes = |call| stage.count(call, (Protocol::LCP, Code::ECHO_REQUEST), since);
    let (old, new) = (echoes(old), echoes(new));
    assert!((3..=4).contains(&old), "{old}");
    assert!((9..=10).contains(&new), "{new}");
}

/// Neither of the two answers; each ends after as many echoes as held when he came.
fn echo_failures(stage: &mut Stage) {
    let deaf = |user: &str| {
        let quirks = Quirks {
            ignores_echo: true,
            ..Quirks::default()
        };
        line_with(user, &format!("{user}-password"), quirks)
    };
    let lac = stage.lac();
    let begun = stage.now();
    let old = stage.call_with(lac, deaf("alice"));
    stage.change(&[("failures: 4", "failures: 2")]);
    let new = stage.call_with(lac, deaf("bob"));
    assert!(stage.is_up(old) && stage.is_up(new));
    stage.run(300);
    let lived = |user| {
        let ends = stage.ends(user);
        let (at, reason) = ends.first().expect("an end");
        assert_eq!(*reason, "lost_carrier");
        at.since(begun)
    };
    let (old, new) = (lived("alice"), lived("bob"));
    // A silent half minute before each request, and one after the last.
    let later = old.saturating_sub(new);
    assert!(later > Duration::from_secs(50), "{old:?} {new:?}");
}
