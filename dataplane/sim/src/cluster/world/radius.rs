//! The way to the RADIUS servers and back.

use lns_cluster::Epoch;

use super::World;
use crate::cluster::plan::Ways;
use crate::cluster::queue::{Item, Process as Which};
use crate::cluster::site::{Answered, Asked, Process};

impl World {
    fn radius_ways(&self) -> Ways {
        self.plan.radius.map(|it| it.ways).unwrap_or_default()
    }

    /// A site asks or tells them something.
    pub(super) fn ask_servers(&mut self, number: usize, asked: Asked) {
        let site = &self.sites[number];
        if !site.passes(site.gate.control, self.now) {
            return;
        }
        self.judge.speaks(number, self.now);
        let epoch = site_epoch(self.sites[number].process.as_ref());
        let ways = self.radius_ways();
        if self.sites[number].router_cut > 0 || self.happens(ways.lost) {
            return;
        }
        let (at, who) = (self.now + self.takes(ways), self.which(number));
        self.queue.push(at, Item::ToRadius(who, epoch, asked));
    }

    pub(super) fn arrive_at_servers(&mut self, who: Which, epoch: Epoch, asked: Asked) {
        if self.radius_away > 0 {
            return;
        }
        let answered = match asked {
            Asked::Login(request) => {
                self.judge.count("logins");
                let reply = self.servers.judge(&request);
                Answered::Login(request.token, Box::new(reply))
            }
            Asked::Record(place, record) => {
                let teller = (who.site, who.life, epoch, place);
                self.account(teller, &record);
                Answered::Record(place)
            }
        };
        let ways = self.radius_ways();
        if self.happens(ways.unanswered) {
            return;
        }
        let at = self.now + self.takes(ways);
        self.queue.push(at, Item::FromRadius(who, answered));
    }

    /// Only a master hears what comes to nasAddress.
    pub(super) fn servers_answer(&mut self, number: usize, answered: Answered) {
        let site = &self.sites[number];
        if site.router_cut == 0 && site.passes(site.gate.control, self.now) {
            self.with(number, |process, env| process.radius_answers(answered, env));
        }
    }
}

fn site_epoch(process: Option<&Process>) -> Epoch {
    process.and_then(Process::serves).unwrap_or_default()
}
