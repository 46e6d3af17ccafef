//! Five hundred logins a second while servers die, stop, are cut off, slow down, come back, and change
//! their secret: nobody is refused, and nobody waits for long.

use std::collections::BTreeMap;
use std::time::Duration;

use lns_crypto::Secret;
use lns_radius::config::{Check, Config, LoadBalance, StatusCheck};
use lns_radius::request::Token;
use lns_tables::time::Instant;

use crate::world::*;

/// Time of one step; in each of them five logins begin.
const STEP: Duration = Duration::from_millis(10);

struct Storm {
    world: World,
    began: BTreeMap<Token, Instant>,
    /// How long those took that have ended.
    took: Vec<Duration>,
    refused: Vec<(Token, String)>,
}

impl Storm {
    fn new(config: Config) -> Self {
        Self {
            world: World::new(config),
            began: BTreeMap::new(),
            took: Vec::new(),
            refused: Vec::new(),
        }
    }

    fn blow(&mut self, time: Duration) {
        let end = self.world.now + time;
        while self.world.now < end {
            for token in self.world.asks(5) {
                self.began.insert(token, self.world.now);
            }
            self.calm(STEP);
        }
    }

    fn calm(&mut self, time: Duration) {
        self.world.run(time);
        for (token, outcome) in std::mem::take(&mut self.world.outcomes) {
            let began = self.began.remove(&token).unwrap();
            let ended = self.world.ended[&token];
            self.took.push(ended.since(began));
            if let Err(failure) = outcome.result {
                self.refused
                    .push((token, format!("{failure:?} of {:?}", outcome.server)));
            }
        }
        self.world.events.clear();
        for peer in self.world.peers.values_mut() {
            peer.seen.clear();
        }
    }

    /// The longest that anybody waited since this was asked last.
    fn longest(&mut self) -> Duration {
        assert_eq!(
            self.refused.len(),
            0,
            "nobody is refused: {:?} {:?} {:?}",
            self.refused.first(),
            self.world.config.balance,
            self.world.config.timing
        );
        let longest = self.took.iter().max().copied().unwrap_or_default();
        self.took.clear();
        longest
    }
}

/// All of them, with each number of sends that a request may have.
fn all_counts() -> Vec<Config> {
    let counts = [1, 2, 5].into_iter();
    let with = |count| {
        all().into_iter().map(move |mut config| {
            config.timing.count = count;
            config
        })
    };
    counts.flat_map(with).collect()
}

/// Each kind of check and each way to balance once.
fn all() -> Vec<Config> {
    let check = Check {
        attributes: attributes("probe"),
        password: Some(Secret::new(*b"probe")),
    };
    let checks = [
        StatusCheck::None,
        StatusCheck::Auto(check),
        with_status_server(),
    ];
    let balances = [
        LoadBalance::FailOver,
        LoadBalance::Balance,
        LoadBalance::KeyedBalance,
    ];
    let both = checks.into_iter().zip(balances);
    both.map(|(check, balance)| Config {
        check,
        balance,
        ..config(&["r1", "r2"])
    })
    .collect()
}

#[test]
fn a_server_is_killed_and_started_again() {
    for config in all_counts() {
        let mut storm = Storm::new(config);
        storm.blow(secs(3));
        storm.world.peer("r1").life = Life::Refuses;
        storm.blow(secs(10));
        storm.world.peer("r1").life = Life::Answers;
        storm.blow(secs(20));
        storm.calm(secs(1));
        let longest = storm.longest();
        assert!(longest < millis(100), "{longest:?}");
        assert!(
            storm.world.server("r1").last_reply.unwrap() < secs(2),
            "it is back"
        );
    }
}

#[test]
fn a_server_is_stopped_and_goes_on() {
    for config in all_counts() {
        let mut storm = Storm::new(config);
        storm.blow(secs(3));
        storm.world.peer("r1").life = Life::Silent;
        storm.blow(secs(60));
        storm.world.peer("r1").life = Life::Answers;
        storm.blow(secs(60));
        storm.calm(secs(1));
        let longest = storm.longest();
        assert!(
            longest < secs(8),
            "those that it had already wait for a second send: {longest:?}"
        );
        assert!(
            storm.world.server("r1").last_reply.unwrap() < secs(2),
            "it is back"
        );
    }
}

#[test]
fn source_ports_are_cut_off_one_after_the_other() {
    for config in all_counts() {
        let mut storm = Storm::new(config);
        storm.world.peer("r1").delay = millis(300);
        storm.world.peer("r2").delay = millis(300);
        for _ in 0..6 {
            storm.blow(secs(3));
            for name in ["r1", "r2"] {
                let one = storm.world.connections(name).first().map(|one| one.id);
                storm.world.peer(name).lost.extend(one);
            }
        }
        storm.blow(secs(20));
        storm.calm(secs(20));
        let longest = storm.longest();
        assert!(longest < secs(20), "{longest:?}");
        storm.world.nothing_is_held();
    }
}

#[test]
fn a_server_slows_down() {
    for config in all_counts() {
        let mut storm = Storm::new(config);
        storm.blow(secs(3));
        for delay in [500, 1500, 3000, 500, 5] {
            storm.world.peer("r1").delay = millis(delay);
            storm.blow(secs(15));
        }
        storm.calm(secs(30));
        let longest = storm.longest();
        assert!(longest < secs(16), "{longest:?}");
        storm.world.nothing_is_held();
    }
}

#[test]
fn the_secret_of_a_server_is_changed() {
    for mut config in all() {
        for server in &mut config.servers {
            server.secrets.previous = Some(server.secrets.current.clone());
            server.secrets.current = Secret::new(*b"new");
        }
        let mut storm = Storm::new(config);
        for name in ["r1", "r2"] {
            storm.world.peer(name).secret = Secret::new(*b"xyzzy");
        }
        storm.blow(secs(10));
        for name in ["r1", "r2"] {
            storm.world.peer(name).secret = Secret::new(*b"new");
            storm.blow(secs(10));
        }
        storm.calm(secs(10));
        let longest = storm.longest();
        assert!(longest < secs(8), "{longest:?}");
    }
}

#[test]
fn both_servers_lose_a_tenth_of_everything() {
    for config in all() {
        let mut storm = Storm::new(config);
        storm.world.peer("r1").loss = 10;
        storm.world.peer("r2").loss = 10;
        storm.blow(secs(30));
        storm.calm(secs(35));
        // Four times lost is one in ten thousand; there are 15,000.
        let lost = std::mem::take(&mut storm.refused);
        assert!(lost.len() <= 8, "{lost:?}");
        assert!(
            lost.iter().all(|(_, why)| why.starts_with("TimedOut")),
            "{lost:?}"
        );
        storm.longest();
        storm.world.nothing_is_held();
    }
}
