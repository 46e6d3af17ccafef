//! Which policies a session has, what the workers are told of it, and what a reload changes.

use core::time::Duration;
use std::sync::Arc;

use lns_l2sess::ChainId;
use lns_l2sess::policy::{Action, Rates};
use lns_node::config::{
    Authentication, Config, DuplicateAction, DuplicateKey, Duplicates, UnknownFilterId,
};
use lns_node::explain::failures::FailureFilter;
use lns_node::explain::transcript::{Step, What};
use lns_node::view::{self, BoundBy, SessionFilter};
use lns_node::{Event, Stage};
use lns_tables::path::SlotIndex;
use lns_wire::id::{SessionId, TunnelId};

use crate::client::Client;
use crate::manifest::{SECRET, config, policy};
use crate::world::World;

const SECONDS: Duration = Duration::from_secs(5);

/// `residential` is everybody's, `gold` also has the Filter-Id `GOLD_100M.in`, `no-mail` says nothing of
/// rates.
pub fn with_policies(users: &[(&str, &[&str])]) -> Config {
    let mut config = config();
    config.policies = vec![
        policy("residential", &[], 10),
        policy("gold", &["GOLD_100M.in", "gold-too"], 100),
        policy("no-mail", &[], 0),
    ];
    config.subscribers.default_policies = names(&["residential"]);
    give(&mut config, users);
    config
}

fn give(config: &mut Config, users: &[(&str, &[&str])]) {
    for (name, filter_ids) in users {
        let user = config.subscribers.users.get_mut(name.as_bytes());
        user.expect("a user").policies = names(filter_ids);
    }
}

fn names(names: &[&str]) -> Vec<Arc<str>> {
    names.iter().map(|&name| name.into()).collect()
}

/// A world in which users `user1` to `user<count>` have logged in.
fn logged_in(config: Config, count: u16) -> World {
    let mut world = World::new(config, 1);
    world.dial_tunnel(1701, Some(SECRET));
    for id in 1..=count {
        login(&mut world, id);
    }
    world
}

fn login(world: &mut World, id: u16) {
    let name = format!("user{id}");
    world.dial(0, id, Client::new(&name, &name));
    world.run(SECONDS);
}

fn hang_up(world: &mut World, id: u16) {
    let mut frames = Vec::new();
    Client::terminate(&mut frames);
    world.send_frames(0, SessionId(id), frames);
    world.run(SECONDS);
}

/// Another configuration, and all that comes of it at once.
fn reload(world: &mut World, config: Config) {
    world.node.handle_config(config, world.now);
    world.settle();
}

fn session(world: &World, user: &str) -> view::Session {
    let filter = SessionFilter {
        user: Some(user.as_bytes().into()),
        ..SessionFilter::default()
    };
    let mut page = world.node.sessions(&filter, None, 100, world.now);
    page.sessions.pop().expect("a session")
}

fn slot(world: &World, user: &str) -> SlotIndex {
    session(world, user).slot
}

/// The same for node and workers.
fn policies(world: &World, user: &str) -> Vec<String> {
    let session = session(world, user);
    assert_eq!(world.workers.policies_of(session.slot), session.policies);
    session.policies
}

fn chain(world: &World, user: &str) -> ChainId {
    world.workers.sessions[&slot(world, user)].chain
}

fn rates(world: &World, user: &str) -> Rates {
    world.workers.sessions[&slot(world, user)].rates
}

/// How often the workers were told of a session since `told`.
fn told(world: &World, user: &str) -> u32 {
    world.workers.sessions_told[&slot(world, user)]
}

fn sessions_of(world: &World, policy: &str) -> (u32, u32) {
    let all = world.node.policy_sessions();
    let found = all.iter().find(|one| one.policy == policy);
    found.map_or((0, 0), |found| (found.sessions, found.by_filter_id))
}

#[test]
fn a_filter_id_is_a_policys_name_or_one_of_its_filter_ids_and_several_are_walked_in_their_order() {
    let users: &[(&str, &[&str])] = &[
        ("user1", &["gold"]),
        ("user2", &["GOLD_100M.in"]),
        ("user3", &["no-mail", "gold-too"]),
    ];
    let world = logged_in(with_policies(users), 3);
    assert_eq!(policies(&world, "user1"), ["gold"]);
    assert_eq!(policies(&world, "user2"), ["gold"]);
    assert_eq!(policies(&world, "user3"), ["no-mail", "gold"]);
    assert_eq!(chain(&world, "user1"), chain(&world, "user2"));
    let gold = Rates {
        up: 100,
        down: 200,
        burst_milliseconds: 100,
    };
    // The first that says anything.
    assert_eq!(rates(&world, "user3"), gold);
    let shown = session(&world, "user3");
    assert_eq!(shown.bound_by, BoundBy::FilterId);
    assert_eq!(shown.rates, Some(gold.into()));
    assert_eq!(shown.unknown_filter_id, None);
    assert_eq!(sessions_of(&world, "gold"), (3, 3));
    assert_eq!(sessions_of(&world, "no-mail"), (1, 1));
    assert_eq!(sessions_of(&world, "residential"), (0, 0));
}

#[test]
fn without_a_filter_id_or_a_login_the_default_policies_apply() {
    let world = logged_in(with_policies(&[]), 1);
    assert_eq!(policies(&world, "user1"), ["residential"]);
    assert_eq!(session(&world, "user1").bound_by, BoundBy::Default);
    assert_eq!(rates(&world, "user1").up, 10);
    assert_eq!(sessions_of(&world, "residential"), (1, 0));

    let mut open = with_policies(&[("user1", &["gold"])]);
    open.lacs[0].authentication = Some(vec![Authentication::None]);
    let world = logged_in(open, 1);
    let path = world.workers.sessions.iter().next();
    let (slot, path) = path.expect("a session");
    assert!(path.address.is_some());
    assert_eq!(world.workers.policies_of(*slot), ["residential"]);
}

#[test]
fn without_policies_nobody_has_any_and_the_workers_hear_of_none() {
    let world = logged_in(config(), 1);
    assert_eq!(chain(&world, "user1"), ChainId::NONE);
    assert_eq!(session(&world, "user1").bound_by, BoundBy::None);
    assert_eq!(world.workers.policies_told, 0);
}

#[test]
fn one_policy_by_two_of_its_names_is_one_and_more_than_fit_are_refused() {
    let mut config = with_policies(&[("user1", &["gold", "GOLD_100M.in", "gold-too"])]);
    let many: Vec<String> = (0..=lns_l2sess::limits::CHAIN)
        .map(|n| format!("p{n}"))
        .collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let more = many.iter().map(|name| policy(name, &[], 0));
    config.policies.extend(more);
    give(&mut config, &[("user2", &many[1..]), ("user3", &many)]);
    let world = logged_in(config, 3);
    assert_eq!(policies(&world, "user1"), ["gold"]);
    assert_eq!(policies(&world, "user2"), many[1..]);
    assert_eq!(world.ends(), ["too_many_policies"]);
}

#[test]
fn an_unknown_filter_id_means_the_default_policies_where_that_is_wanted_and_everybody_is_told() {
    let mut config = with_policies(&[("user1", &["gold", "gld"])]);
    config.subscribers.unknown_filter_id = UnknownFilterId::UseDefault;
    let world = logged_in(config, 1);
    assert_eq!(policies(&world, "user1"), ["residential"]);
    let shown = session(&world, "user1");
    assert_eq!(shown.bound_by, BoundBy::Default);
    assert_eq!(shown.unknown_filter_id.as_deref(), Some("gld"));
    let up = world.events.iter().find_map(|event| match event {
        Event::SessionUp {
            unknown_filter_id, ..
        } => Some(unknown_filter_id.as_deref()),
        _ => None,
    });
    assert_eq!(up, Some(Some("gld")));
    let ids = (TunnelId(shown.tunnel), SessionId(shown.session));
    let (said, _) = world.node.transcript(ids.0, ids.1);
    let step = said.iter().find_map(|entry| match &entry.what {
        What::Step(step @ Step::Policies { .. }) => Some(step.clone()),
        _ => None,
    });
    let expected = Step::Policies {
        names: names(&["residential"]).into(),
        by: "default",
        unknown: Some("gld".into()),
    };
    assert_eq!(step, Some(expected));
}

#[test]
fn an_unknown_filter_id_is_a_failed_login_with_its_value_where_that_is_wanted() {
    let mut config = with_policies(&[("user1", &["gold", "gld"])]);
    config.subscribers.unknown_filter_id = UnknownFilterId::Refuse;
    config.subscribers.duplicates = Duplicates {
        key: vec![DuplicateKey::UserName],
        action: DuplicateAction::Replace,
    };
    let mut before = config.clone();
    give(&mut before, &[("user1", &["gold"])]);
    let mut world = logged_in(before, 1);
    reload(&mut world, config);
    world.dial(0, 2, Client::new("user1", "user1"));
    world.run(SECONDS);
    assert!(world.client(0, 2).failed && world.caller(0, 2).cleared);
    assert!(world.is_up(0, 1), "who is refused replaces nobody");
    let all = FailureFilter::default();
    let failures = world.node.failures(&all, None, (10, 10), world.now);
    let failed = &failures.failures[0];
    assert_eq!(
        (failed.subject.stage, failed.subject.reason),
        (Stage::Authentication, "unknown_filter_id")
    );
    assert_eq!(failed.last.detail.as_deref(), Some("gld"));
    let verdicts = failed.last.transcript.iter();
    let verdict = verdicts.filter_map(|entry| match &entry.what {
        What::Step(Step::Login { verdict, .. }) => Some(*verdict),
        _ => None,
    });
    assert_eq!(verdict.collect::<Vec<_>>(), ["unknown_filter_id"]);
    assert_eq!(sessions_of(&world, "gold"), (1, 1));
}

#[test]
fn a_reload_in_which_no_policy_changes_tells_the_workers_of_none() {
    let config = with_policies(&[("user1", &["gold"])]);
    let mut world = logged_in(config.clone(), 2);
    let before = world.workers.policies_told;
    let of_sessions = world.workers.sessions_told.clone();
    let mut turned = config;
    turned.policies.reverse();
    give(&mut turned, &[("user1", &[]), ("user2", &["no-mail"])]);
    reload(&mut world, turned);
    assert_eq!(world.workers.policies_told, before);
    assert_eq!(world.workers.sessions_told, of_sessions);
    // It is for whoever logs in from then on.
    assert_eq!(policies(&world, "user1"), ["gold"]);
    hang_up(&mut world, 1);
    world.dial(0, 3, Client::new("user1", "user1"));
    world.run(SECONDS);
    assert_eq!(policies(&world, "user1"), ["residential"]);
}

#[test]
fn a_changed_policy_is_told_and_only_sessions_with_other_rates_are() {
    let config = with_policies(&[("user1", &["gold"]), ("user2", &["no-mail", "gold"])]);
    let mut world = logged_in(config.clone(), 3);
    let users = ["user1", "user2", "user3"];
    let before = (
        world.workers.policies_told,
        users.map(|it| told(&world, it)),
    );

    let mut rules = config;
    let table = rules.policies[1].input.as_mut();
    table.expect("a table").default = Action::Drop;
    reload(&mut world, rules.clone());
    assert_eq!(world.workers.policies_told, before.0 + 1);
    assert_eq!(users.map(|it| told(&world, it)), before.1);

    let mut faster = rules;
    faster.policies[1].rates = policy("gold", &[], 300).rates;
    reload(&mut world, faster);
    assert_eq!(world.workers.policies_told, before.0 + 2);
    let [one, two, three] = before.1;
    assert_eq!(users.map(|it| told(&world, it)), [one + 1, two + 1, three]);
    assert_eq!(users.map(|it| rates(&world, it).up), [300, 300, 10]);
}

#[test]
fn other_default_policies_are_those_of_the_default_sessions_at_once_and_of_no_others() {
    let config = with_policies(&[("user1", &["residential"]), ("user3", &["gld"])]);
    let mut world = logged_in(config.clone(), 3);
    let before = told(&world, "user1");
    let old = chain(&world, "user2");
    assert_eq!(chain(&world, "user1"), old);
    let mut changed = config.clone();
    changed.subscribers.default_policies = names(&["no-mail", "gold"]);
    reload(&mut world, changed);
    assert_eq!(policies(&world, "user1"), ["residential"]);
    assert_eq!(told(&world, "user1"), before);
    for user in ["user2", "user3"] {
        assert_eq!(policies(&world, user), ["no-mail", "gold"]);
        assert_eq!(session(&world, user).bound_by, BoundBy::Default);
        assert_ne!(chain(&world, user), old, "its flows have to go");
        assert_eq!(rates(&world, user).up, 100);
    }
    let unknown = session(&world, "user3").unknown_filter_id;
    assert_eq!(unknown.as_deref(), Some("gld"));

    let mut none = config.clone();
    none.subscribers.default_policies = Vec::new();
    reload(&mut world, none);
    assert_eq!(chain(&world, "user2"), ChainId::NONE);
    assert_eq!(session(&world, "user2").bound_by, BoundBy::None);
    reload(&mut world, config);
    assert_eq!(policies(&world, "user2"), ["residential"]);
}

#[test]
fn a_default_policy_that_is_renamed_never_leaves_its_sessions_without_one() {
    let config = with_policies(&[]);
    let mut world = logged_in(config.clone(), 1);
    let mut renamed = config;
    renamed.policies[0].name = "homes".into();
    renamed.subscribers.default_policies = names(&["homes"]);
    assert_eq!(world.node.policies_still_in_use(&renamed.policies), []);
    world.node.handle_config(renamed, world.now);
    let mut seen = Vec::new();
    while let Some(update) = world.node.poll_path() {
        world.workers.apply(&update);
        seen.push(world.workers.policies_of(SlotIndex(0)));
    }
    assert!(seen.iter().all(|names| names.len() == 1), "{seen:?}");
    assert_eq!(policies(&world, "user1"), ["homes"]);
    let old = world.node.policies().policies();
    assert!(old.into_iter().all(|(_, it)| &*it.name != "residential"));
}

#[test]
fn a_policy_that_sessions_have_by_filter_id_is_named_with_how_many_and_who_before_it_goes() {
    let users: &[(&str, &[&str])] = &[
        ("user1", &["gold"]),
        ("user2", &["no-mail", "gold"]),
        ("user3", &["GOLD_100M.in"]),
        ("user4", &["gold-too"]),
        ("user5", &["residential"]),
    ];
    let config = with_policies(users);
    let world = logged_in(config.clone(), 6);
    assert_eq!(world.node.policies_still_in_use(&config.policies), []);
    let in_use = |names: &[&str]| {
        let kept = config.policies.iter();
        let kept: Vec<_> = kept
            .filter(|it| !names.contains(&&*it.name))
            .cloned()
            .collect();
        world.node.policies_still_in_use(&kept)
    };
    let gold = view::PolicyInUse {
        policy: "gold".to_owned(),
        sessions: 4,
        users: ["user1", "user2", "user3"].map(str::to_owned).to_vec(),
        has_others: true,
    };
    assert_eq!(in_use(&["gold"]), core::slice::from_ref(&gold));
    let no_mail = view::PolicyInUse {
        policy: "no-mail".to_owned(),
        sessions: 1,
        users: vec!["user2".to_owned()],
        has_others: false,
    };
    assert_eq!(in_use(&["no-mail", "gold"]), [gold, no_mail]);
    // Who has it by default has something else then.
    let residential = in_use(&["residential"]);
    assert_eq!((residential.len(), residential[0].sessions), (1, 1));
    assert_eq!(residential[0].users, ["user5"]);
}

#[test]
fn who_has_a_policy_that_goes_all_the_same_keeps_it_and_nobody_else_gets_it() {
    let config = with_policies(&[("user1", &["no-mail", "gold"]), ("user2", &["gold"])]);
    let mut world = logged_in(config.clone(), 1);
    let mut without = config;
    without.policies.retain(|it| &*it.name != "gold");
    reload(&mut world, without.clone());
    assert_eq!(policies(&world, "user1"), ["no-mail", "gold"]);
    assert_eq!(rates(&world, "user1").up, 100);
    // It is gone already.
    assert_eq!(world.node.policies_still_in_use(&without.policies), []);
    login(&mut world, 2);
    assert_eq!(policies(&world, "user2"), ["residential"]);
    hang_up(&mut world, 1);
    assert_eq!(sessions_of(&world, "gold"), (0, 0));
}

#[test]
fn a_chain_that_nobody_has_any_more_is_given_up() {
    let users: &[(&str, &[&str])] = &[
        ("user1", &["gold"]),
        ("user2", &["no-mail"]),
        ("user3", &["gold", "no-mail"]),
    ];
    let mut world = logged_in(with_policies(users), 3);
    hang_up(&mut world, 1);
    hang_up(&mut world, 2);
    world
        .node
        .handle_disconnect_tunnel(TunnelId(world.lacs[0].machine.peer().0), world.now);
    world.run(SECONDS);
    assert!(world.workers.sessions.is_empty());
    let left = world.node.policy_sessions();
    assert!(left.iter().all(|one| one.sessions == 0), "{left:?}");
    // The next edition has no chain but that of who is there.
    world.dial_tunnel(1702, Some(SECRET));
    world.dial(1, 9, Client::new("user9", "user9"));
    world.run(SECONDS);
    let chains: Vec<_> = (1..100).map(ChainId).collect();
    let there = chains
        .iter()
        .filter_map(|it| world.workers.policies.chain(*it));
    let there: Vec<_> = there.map(|chain| chain.names().to_vec()).collect();
    assert_eq!(there, [names(&["residential"])]);
    assert_eq!(world.node.stats().overdue, 0);
}

#[test]
fn who_dials_again_and_again_takes_no_second_chain() {
    let mut world = logged_in(with_policies(&[("user1", &["gold"])]), 1);
    for id in 2..20 {
        hang_up(&mut world, id - 1);
        world.dial(0, id, Client::new("user1", "user1"));
        world.run(SECONDS);
        assert_eq!(sessions_of(&world, "gold"), (1, 1));
    }
}

#[test]
fn a_login_in_the_open_session_finds_its_policies_anew_and_a_rechallenge_does_not() {
    let mut config = with_policies(&[("user1", &["gold"])]);
    config.ppp.rechallenge = Duration::from_secs(20);
    let mut world = logged_in(config.clone(), 1);
    let before = chain(&world, "user1");
    give(&mut config, &[("user1", &["no-mail"])]);
    reload(&mut world, config);
    let challenges = world.client(0, 1).challenges_seen;
    world.run(Duration::from_secs(30));
    assert!(world.client(0, 1).challenges_seen > challenges);
    assert_eq!(policies(&world, "user1"), ["gold"]);

    let mut frames = Vec::new();
    let now = world.now;
    world.caller(0, 1).client.renegotiate(now, &mut frames);
    world.send_frames(0, SessionId(1), frames);
    world.run(SECONDS);
    assert!(world.is_up(0, 1));
    assert_eq!(policies(&world, "user1"), ["no-mail"]);
    assert_ne!(chain(&world, "user1"), before, "its flows have to go");
    assert_eq!(sessions_of(&world, "gold"), (0, 0));
    assert_eq!(sessions_of(&world, "no-mail"), (1, 1));
}

#[test]
fn a_session_that_is_replaced_gives_its_policies_back() {
    let mut config = with_policies(&[("user1", &["gold"])]);
    config.subscribers.duplicates.action = DuplicateAction::Replace;
    let mut world = logged_in(config, 1);
    world.dial(0, 2, Client::new("user1", "user1"));
    world.run(SECONDS);
    assert_eq!(world.ends(), ["replaced"]);
    assert_eq!(policies(&world, "user1"), ["gold"]);
    assert_eq!(sessions_of(&world, "gold"), (1, 1));
}

#[test]
fn a_login_that_fails_after_it_was_bound_gives_its_policies_back() {
    let mut config = with_policies(&[("user1", &["gold"])]);
    config.subscribers.duplicates.action = DuplicateAction::Refuse;
    let mut world = logged_in(config, 1);
    world.dial(0, 2, Client::new("user1", "user1"));
    world.run(SECONDS);
    assert_eq!(world.ends(), ["duplicate_user"]);
    assert_eq!(sessions_of(&world, "gold"), (1, 1));
}

#[test]
fn whose_slot_it_is_and_which_slots_a_filter_means_is_told() {
    let world = logged_in(with_policies(&[]), 3);
    let shown = session(&world, "user2");
    let (tunnel, session, user) = world.node.name_of(shown.slot).expect("a session");
    assert_eq!((tunnel.0, session.0), (shown.tunnel, shown.session));
    assert_eq!(user, Some(&b"user2"[..]));
    assert_eq!(world.node.name_of(SlotIndex(99)), None);
    let filter = SessionFilter {
        user: Some((*b"user2").into()),
        ..SessionFilter::default()
    };
    assert_eq!(
        world.node.slots(&filter, None, 100),
        (vec![shown.slot], None)
    );
    let all = SessionFilter::default();
    let (first, next) = world.node.slots(&all, None, 2);
    assert_eq!((first.len(), next), (2, Some(SlotIndex(1))));
    assert_eq!(world.node.slots(&all, next, 2), (vec![SlotIndex(2)], None));
}
