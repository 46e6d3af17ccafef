//! Many connections, each judged alone (R01-R09).

use crate::world::*;

#[test]
fn a_request_is_answered_and_nothing_is_held_afterwards() {
    let mut world = World::new(config(&["r1", "r2"]));
    let token = world.ask();
    world.run(secs(1));
    let outcome = &world.outcomes[&token];
    assert!(world.is_ok(token));
    assert_eq!((outcome.sends, outcome.rtt), (1, Some(millis(5))));
    assert_eq!(outcome.server.as_deref(), Some("r1"));
    assert!(world.requests("r2").is_empty());
    world.nothing_is_held();
}
