//! Which pod is replaced next: at most one is away at a time, members go first, the master goes last and hands over
//! as it leaves.
//!
//! Pure: what is known of the pods goes in, one [`Step`] comes out.

use lns_cluster::NodeName;

/// A node that the selector names, and its pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The node.
    pub(crate) node: NodeName,
    /// Its pod; none yet, or none any more.
    pub(crate) pod: Option<Pod>,
}

/// A pod of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pod {
    /// Its name.
    pub(crate) name: String,
    /// Which one of this name.
    pub(crate) uid: String,
    /// It was made of the template that there is now.
    pub(crate) is_current: bool,
    /// It is going.
    pub(crate) is_leaving: bool,
    /// It is the master.
    pub(crate) is_master: bool,
    /// What its label says that it is.
    pub(crate) role: Option<String>,
    /// How well it does.
    pub(crate) health: Health,
}

/// How well a pod does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    /// It serves, and has all records that the master has.
    Whole,
    /// It serves, and has not all records yet.
    Behind,
    /// It does not serve.
    Away,
}

/// What to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// All pods are of the template that there is now.
    Done,
    /// Something is under way: what.
    Wait(Why),
    /// This pod is to go; its `DaemonSet` makes another one.
    Replace {
        /// Its name.
        pod: String,
        /// Which one of this name.
        uid: String,
        /// Where it is.
        node: NodeName,
    },
}

/// What a rollout waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// A node's pod is going, or is not there yet.
    Coming(NodeName),
    /// A node's pod does not serve.
    NotReady(NodeName),
    /// A node has not all records, which the next one that goes would leave with fewer.
    NotSynced(NodeName),
    /// Nobody is master.
    NoMaster,
}

/// The next step.
pub(crate) fn next(places: &[Place]) -> Step {
    let outdated = || places.iter().filter_map(outdated);
    if outdated().next().is_none() {
        return Step::Done;
    }
    // One that does not serve is away already: to replace it costs nothing, and may be what mends it.
    let broken = outdated().find(|(_, pod)| pod.health == Health::Away);
    let away = places
        .iter()
        .find_map(|place| away(place, broken.map(|(place, _)| place)));
    if let Some(why) = away {
        return Step::Wait(why);
    }
    if let Some((place, pod)) = broken {
        return replace(place, pod);
    }
    let others = outdated().filter(|(_, pod)| !pod.is_master);
    if let Some((place, pod)) = others.min_by(|one, other| one.0.node.cmp(&other.0.node)) {
        return replace(place, pod);
    }
    // What is left is the master, or nobody is known to be it.
    if !places
        .iter()
        .any(|place| place.pod.as_ref().is_some_and(|pod| pod.is_master))
    {
        return Step::Wait(Why::NoMaster);
    }
    outdated()
        .next()
        .map_or(Step::Done, |(place, pod)| replace(place, pod))
}

fn outdated(place: &Place) -> Option<(&Place, &Pod)> {
    let pod = place.pod.as_ref()?;
    (!pod.is_current && !pod.is_leaving).then_some((place, pod))
}

/// Why another pod must not go now, as far as this place is concerned, unless it is the one that would.
fn away(place: &Place, going: Option<&Place>) -> Option<Why> {
    if going.is_some_and(|going| going.node == place.node) {
        return None;
    }
    let node = || place.node.clone();
    let Some(pod) = &place.pod else {
        return Some(Why::Coming(node()));
    };
    match pod.health {
        _ if pod.is_leaving => Some(Why::Coming(node())),
        Health::Away => Some(Why::NotReady(node())),
        Health::Behind => Some(Why::NotSynced(node())),
        Health::Whole => None,
    }
}

fn replace(place: &Place, pod: &Pod) -> Step {
    Step::Replace {
        pod: pod.name.clone(),
        uid: pod.uid.clone(),
        node: place.node.clone(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn place(number: usize, pod: Option<Pod>) -> Place {
        Place {
            node: NodeName::new(&format!("n{number}")).unwrap(),
            pod,
        }
    }

    fn pod(is_current: bool, is_master: bool, health: Health) -> Pod {
        Pod {
            name: "pod".to_owned(),
            uid: "uid".to_owned(),
            is_current,
            is_leaving: false,
            is_master,
            role: None,
            health,
        }
    }

    fn replaced(step: &Step) -> Option<String> {
        match step {
            Step::Replace { node, .. } => Some(node.to_string()),
            Step::Done | Step::Wait(_) => None,
        }
    }

    #[test]
    fn members_go_first_one_by_one_and_the_master_last() {
        let mut places: Vec<_> = (0..3)
            .map(|number| place(number, Some(pod(false, number == 0, Health::Whole))))
            .collect();
        let mut order = Vec::new();
        while let Step::Replace { node, .. } = next(&places) {
            order.push(node.to_string());
            let at = places.iter().position(|place| place.node == node).unwrap();
            for (is_leaving, health, waits) in [
                (true, Health::Whole, Why::Coming(node.clone())),
                (false, Health::Away, Why::NotReady(node.clone())),
                (false, Health::Behind, Why::NotSynced(node.clone())),
            ] {
                let mut now = pod(!is_leaving, false, health);
                now.is_leaving = is_leaving;
                places[at].pod = Some(now);
                let is_last = order.len() == 3;
                let expected = if is_last && !is_leaving {
                    Step::Done
                } else {
                    Step::Wait(waits)
                };
                // The last one leaves nothing that is outdated behind.
                let expected = if is_last { Step::Done } else { expected };
                assert_eq!(next(&places), expected);
            }
            places[at].pod = Some(pod(true, false, Health::Whole));
        }
        assert_eq!(order, ["n1", "n2", "n0"]);
        assert_eq!(next(&places), Step::Done);
    }

    #[test]
    fn one_that_does_not_serve_is_replaced_before_those_that_do() {
        let places = [
            place(0, Some(pod(false, true, Health::Whole))),
            place(1, Some(pod(false, false, Health::Whole))),
            place(2, Some(pod(false, false, Health::Away))),
        ];
        assert_eq!(replaced(&next(&places)), Some("n2".to_owned()));
    }

    #[test]
    fn a_new_one_that_does_not_come_up_stops_the_rollout() {
        let places = [
            place(0, Some(pod(false, true, Health::Whole))),
            place(1, Some(pod(true, false, Health::Away))),
            place(2, Some(pod(false, false, Health::Whole))),
        ];
        let stopped = Why::NotReady(NodeName::new("n1").unwrap());
        assert_eq!(next(&places), Step::Wait(stopped));
    }

    #[test]
    fn without_a_master_the_last_one_stays() {
        let places = [
            place(0, Some(pod(true, false, Health::Whole))),
            place(1, Some(pod(true, false, Health::Whole))),
        ];
        assert_eq!(next(&places), Step::Done);
        let alone = [place(0, Some(pod(false, true, Health::Whole)))];
        assert_eq!(replaced(&next(&alone)), Some("n0".to_owned()));
    }

    fn any_pod() -> impl Strategy<Value = Pod> {
        let health = prop_oneof![
            Just(Health::Whole),
            Just(Health::Behind),
            Just(Health::Away)
        ];
        (any::<bool>(), any::<bool>(), any::<bool>(), health).prop_map(
            |(is_current, is_leaving, is_master, health)| Pod {
                is_leaving,
                ..pod(is_current, is_master, health)
            },
        )
    }

    proptest! {
        #[test]
        fn no_step_takes_a_second_one_away(pods in prop::collection::vec(prop::option::of(any_pod()), 1..6)) {
            let places: Vec<_> = pods.into_iter().enumerate().map(|(at, pod)| place(at, pod)).collect();
            if let Step::Replace { node, .. } = next(&places) {
                let is_well = |pod: &Pod| pod.health == Health::Whole && !pod.is_leaving;
                for place in places.iter().filter(|place| place.node != node) {
                    prop_assert!(place.pod.as_ref().is_some_and(is_well), "{node}: {places:?}");
                }
                let gone = places.iter().find(|place| place.node == node).and_then(|it| it.pod.clone());
                prop_assert!(gone.is_some_and(|pod| !pod.is_current && !pod.is_leaving));
            }
        }

        #[test]
        fn a_master_goes_only_when_all_others_are_current(pods in prop::collection::vec(any_pod(), 2..6)) {
            let places: Vec<_> = pods.into_iter().enumerate().map(|(at, pod)| place(at, Some(pod))).collect();
            if let Step::Replace { node, .. } = next(&places)
                && let Some(gone) = places.iter().find(|place| place.node == node).and_then(|it| it.pod.clone())
                && gone.is_master && gone.health == Health::Whole
            {
                let others = places.iter().filter(|place| place.node != node).filter_map(|it| it.pod.as_ref());
                for other in others {
                    prop_assert!(other.is_current || other.is_master);
                }
            }
        }
    }
}
