//! What the store says, to a master and to a member, and what is asked of it beside the task.

use lns_cluster::Epoch;
use lns_cluster::journal::Mark;
use lns_cluster::member::Side;
use lns_datapath::clock;
use lns_node::Caught;
use lns_peers::wire::Answer;
use lns_store::Fence as StoreFence;
use lns_store::follower::{Follower, Told};
use lns_tables::time::Instant;
use tokio::sync::oneshot;
use tracing::{error, info, warn};

use super::{BATCH, Back, Crew, FOREIGN};
use crate::run::keeper::StoreNews;
use crate::run::situation::unix_millis;

impl Crew {
    pub(super) async fn hear_store(&mut self, news: StoreNews) {
        let now = clock::now();
        match news {
            StoreNews::Claimed(epoch) => {
                self.store_away = None;
                self.member.handle_claimed(epoch, now);
                if self.is_incomplete {
                    self.look_at_store(epoch);
                }
            }
            StoreNews::Lost(epoch) => self.member.handle_lost(epoch, now),
            StoreNews::Away(why) => {
                if self.store_away.is_none() {
                    warn!("the store is away: {why}");
                }
                self.store_away = Some(why);
            }
            StoreNews::Unvouched => drop(self.parts.lease.renew().await),
        }
    }

    /// The master of this mastership wants to know what passes here, if nobody is of a later one.
    async fn report_to(&self, epoch: Epoch, caught: Caught) {
        let is_master = self.member.master().is_some_and(|(of, _)| *of == epoch);
        if is_master && self.parts.master.other().is_some() {
            let epoch = epoch.number();
            self.tell(move |control, now| control.node.handle_master(epoch, caught, now))
                .await;
        }
    }

    /// Takes in what was followed; with it, all else that was read already.
    pub(super) async fn follow(&mut self, first: Told) {
        let mut batch = vec![first];
        while batch.len() < BATCH
            && let Some(told) = self.follower.as_mut().and_then(Follower::poll)
        {
            batch.push(told);
        }
        let (answer, done) = oneshot::channel();
        let asked = batch.clone();
        self.tell(move |control, now| {
            control.keeper.follow(&mut control.node, asked, now);
            let _waits = answer.send((control.keeper.is_doubtful(), control.keeper.is_foreign()));
        })
        .await;
        let (is_doubtful, is_foreign) = done.await.unwrap_or_default();
        self.heed_foreign(is_foreign);
        let reads = |told: &Told| matches!(told, Told::Loading | Told::Loaded { .. });
        if batch.iter().any(reads) {
            self.doubt = is_doubtful.then(clock::now);
        }
        for told in batch {
            self.followed(told).await;
        }
    }

    /// Records of a later release: this one does not know what the cluster has.
    fn heed_foreign(&mut self, is_foreign: bool) {
        if is_foreign && !self.member.is_foreign() {
            error!("{FOREIGN}");
        }
        self.member.handle_foreign(is_foreign);
    }

    /// What it means for the member, once it is applied.
    async fn followed(&mut self, told: Told) {
        let now = clock::now();
        if let Told::Away(reason) = &told {
            if self.store_away.is_none() {
                warn!("the store is away: {reason}");
            }
            self.store_away = Some(reason.to_string().into());
            return;
        }
        if self.store_away.take().is_some() {
            info!("the store is back");
        }
        match told {
            Told::Claim { epoch, holder, .. } => {
                self.member.handle_epoch(epoch, Some(&holder));
                self.report_to(epoch, Caught::Up).await;
            }
            Told::Loaded { position } => {
                self.member.handle_loaded(position, now);
                self.report_to(position.epoch, Caught::Up).await;
                info!(%position, "all session records are read");
            }
            Told::Position(position) => self.member.handle_position(position, now),
            Told::CaughtUp => self.member.handle_caught_up(now),
            Told::Loading | Told::Record { .. } | Told::Forgotten { .. } | Told::Away(_) => {}
        }
    }

    /// Without a Lease it depends on what the store says who may found the cluster.
    pub(super) fn read_fence(&mut self) {
        if core::mem::replace(&mut self.is_reading_fence, true) {
            return;
        }
        let redis = self.parts.redis.clone();
        self.beside
            .spawn(async move { Back::Fence(redis.fence().await) });
    }

    pub(super) fn compare_clocks(&mut self) {
        let (redis, before) = (self.parts.redis.clone(), unix_millis());
        self.beside.spawn(async move {
            let time = redis.time().await.ok();
            // Half of the way there and back.
            let ours = before.midpoint(unix_millis());
            Back::Clock(ours, time)
        });
    }

    pub(super) async fn take_back(&mut self, back: Back) {
        let now = clock::now();
        match back {
            Back::Position(sent, answer) => {
                self.is_asking = false;
                if let Ok(answer) = answer
                    && let node = answer.from().node().clone()
                    && let Answer::Position(position) = answer.value()
                    && let Some(mark) = Mark::new(position.epoch, position.seq)
                {
                    self.member.handle_answer(position.epoch, mark, sent, now);
                    self.serves_now(&node, position.epoch).await;
                    self.heed_position(mark, sent).await;
                    if self.store_away.is_some() {
                        self.report_to(position.epoch, Caught::Behind).await;
                    }
                }
            }
            Back::Fence(fence) => {
                self.is_reading_fence = false;
                if let Ok(fence) = fence {
                    self.heed_fence(fence).await;
                }
            }
            Back::Clock(ours, Some(store)) => {
                let store = u64::try_from(store.as_millis()).unwrap_or(ours);
                self.parts.clock.set(store, ours);
            }
            Back::Others(epoch, node, said) => self.hear_others(epoch, &node, said).await,
            Back::Store(epoch, stored) if self.serves(epoch) => {
                self.take_in_stored(epoch, stored).await;
            }
            Back::Clock(_, None) | Back::Store(..) => {}
        }
    }

    /// The master, asked at `sent`, has all that there is in the stream up to here: what was kept in doubt and did not
    /// come by then is gone.
    async fn heed_position(&mut self, position: Mark, sent: Instant) {
        let was_asked_since = self.doubt.is_some_and(|since| since <= sent);
        if was_asked_since && position <= self.member.applied() {
            self.doubt = None;
            self.tell(|control, now| {
                control.keeper.handle_written_again(&mut control.node, now);
            })
            .await;
        }
    }

    fn serves(&self, epoch: Epoch) -> bool {
        self.member.side().0 == Side::Serving && self.member.known() == epoch
    }

    async fn heed_fence(&mut self, fence: Option<StoreFence>) {
        let epoch = fence.as_ref().and_then(|it| it.fenced.epoch);
        if let Some(epoch) = epoch {
            self.member.handle_epoch(epoch, None);
            let _ended = self.parts.lease.heard(epoch).await;
        }
        let may_found = match &fence {
            // Members that know each other would know of a roster.
            None => self.member.master().is_none(),
            Some(fence) => {
                let me = self.parts.me.to_string();
                let mut nodes = fence.roster.split(|octet| *octet == b'\n');
                nodes.any(|node| node == me.as_bytes())
            }
        };
        if may_found && self.is_unfounded() {
            let _ended = self.parts.lease.may_found().await;
        }
    }
}
