//! Walks the flows that a filter means, a short step at a time: neither the control task nor a worker
//! waits for it, however many flows there are.

use core::ops::ControlFlow;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use lns_datapath::FlowsHandle;
use lns_l2sess::table::Flow as Record;
use lns_node::Node;
use lns_node::view::{self, SessionFilter};
use lns_tables::path::SlotIndex;
use lns_tables::time::Instant;
use lns_wire::id::{SessionId, TunnelId};
use tokio::task::spawn_blocking;

use super::super::api::no_session;
use super::super::{Admin, Refusal};
use super::filter::{Filter, Of, Which};
use crate::cli::SessionName;

/// Places of the session table that are looked at in one go: some hundred microseconds.
const STEP: usize = 4_096;

/// Steps of one request. Where few flows match, an answer has fewer than were asked for, and says where
/// to go on.
const STEPS: usize = 256;

/// Slots that one question to the control task looks at: some hundred microseconds.
const SLOTS_PER_QUESTION: u32 = 1_024;

/// Subscribers whom one question to the control task names.
const OWNERS_PER_QUESTION: usize = 512;

/// How much older than its session a flow may seem: seconds of two clocks.
const SLACK: u64 = 2;

/// Sessions by their slots, and where to go on.
type Found = (Vec<(SlotIndex, Owner)>, Option<u32>);

/// Whose a flow is.
#[derive(Clone, Debug)]
pub(super) struct Owner {
    /// `tunnel.session`.
    pub(super) id: String,
    pub(super) user: Option<String>,
    pub(super) lac: String,
    /// How long it has been there, seconds.
    pub(super) seconds: u64,
}

impl From<view::Session> for Owner {
    fn from(session: view::Session) -> Self {
        Self {
            id: session.id,
            user: session.user,
            lac: session.lac,
            seconds: session.seconds,
        }
    }
}

impl Owner {
    /// Whether a flow of that age can be its; else it was of who had the slot before.
    pub(super) fn may_have(&self, age: u32) -> bool {
        u64::from(age) <= self.seconds.saturating_add(SLACK)
    }
}

/// Where to go on: a place, and how many of its flows were there already.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Cursor {
    pub(super) place: u32,
    pub(super) skip: usize,
}

impl Cursor {
    /// A step or a session has fewer flows than this: [`lns_l2sess::limits::ENTRIES`].
    const SKIPS: u64 = 1 << 25;

    pub(super) fn new(number: u64) -> Result<Self, Refusal> {
        let place = u32::try_from(number / Self::SKIPS);
        let skip = usize::try_from(number % Self::SKIPS);
        match (place, skip) {
            (Ok(place), Ok(skip)) => Ok(Self { place, skip }),
            _ => Err(Refusal::bad(format!(
                "after must be the `next` of the page before, not {number}"
            ))),
        }
    }

    pub(super) fn number(self) -> u64 {
        let skip = u64::try_from(self.skip).unwrap_or(u64::MAX);
        u64::from(self.place) * Self::SKIPS + skip.min(Self::SKIPS - 1)
    }
}

/// Flows of a place: a step of the table, or a session.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) place: u32,
    pub(super) records: Vec<Record>,
    /// Whose all of them are; `None`: of several.
    pub(super) owner: Option<Owner>,
    /// The session's, where the batch is one's.
    pub(super) slot: Option<SlotIndex>,
    /// The place of the next; `None`: this was the last.
    pub(super) next: Option<u32>,
}

/// A walk over flows.
pub(super) struct Walk<'a> {
    admin: &'a Admin,
    which: Which,
    steps: usize,
    over: Over,
}

/// Over what it goes.
enum Over {
    /// The table, from that place.
    Table(Option<u32>),
    /// Sessions.
    Sessions {
        of: Of,
        /// The next of them.
        waiting: VecDeque<(SlotIndex, Owner)>,
        /// Which slots to ask for then; `None`: there are no more.
        from: Option<u32>,
    },
}

impl<'a> Walk<'a> {
    /// Begins at a place.
    pub(super) fn new(admin: &'a Admin, filter: Filter, place: u32) -> Self {
        let over = match filter.of {
            None => Over::Table(Some(place)),
            Some(of) => Over::Sessions {
                of,
                waiting: VecDeque::new(),
                from: Some(place),
            },
        };
        Self {
            admin,
            which: filter.which,
            steps: STEPS,
            over,
        }
    }

    /// Whether this request has looked at enough.
    pub(super) const fn is_tired(&self) -> bool {
        self.steps == 0
    }

    /// The next batch, of which `skip` are not wanted, and `wanted` behind those; `None`: that was all.
    pub(super) async fn next(
        &mut self,
        skip: usize,
        wanted: usize,
    ) -> Result<Option<Batch>, Refusal> {
        self.steps = self.steps.saturating_sub(1);
        match &mut self.over {
            Over::Table(from) => {
                let Some(place) = from.take() else {
                    return Ok(None);
                };
                let which = self.which;
                // Where every flow is wanted, none is looked at twice for a page that had to be cut.
                let most = if which.is_everything() { wanted } else { STEP };
                let (records, next) = look(&self.admin.flows, move |flows| {
                    let (mut records, next) = flows.flows(place, most.min(STEP));
                    records.retain(|record| which.wants(record));
                    (records, next)
                })
                .await?;
                *from = next;
                Ok(Some(Batch {
                    place,
                    records,
                    owner: None,
                    slot: None,
                    next,
                }))
            }
            Over::Sessions { .. } => {
                // One more says that there are more.
                let most = skip.saturating_add(wanted).saturating_add(1);
                let which = self.which;
                self.session(if which.is_everything() {
                    most
                } else {
                    usize::MAX
                })
                .await
            }
        }
    }

    async fn session(&mut self, most: usize) -> Result<Option<Batch>, Refusal> {
        let Over::Sessions { of, waiting, from } = &mut self.over else {
            return Ok(None);
        };
        while waiting.is_empty() {
            let Some(slot) = *from else {
                return Ok(None);
            };
            let (found, next) = sessions(self.admin, of.clone(), slot).await?;
            waiting.extend(found);
            *from = next;
        }
        let Some((slot, owner)) = waiting.pop_front() else {
            return Ok(None);
        };
        let next = waiting.front().map(|(SlotIndex(slot), _)| *slot).or(*from);
        let which = self.which;
        let records = look(&self.admin.flows, move |flows| {
            let mut records = flows.flows_of(slot, most);
            records.retain(|record| which.wants(record));
            records
        })
        .await?;
        Ok(Some(Batch {
            place: slot.0,
            records,
            owner: Some(owner),
            slot: Some(slot),
            next,
        }))
    }
}

/// Looks where nobody waits for this thread.
pub(super) async fn look<T: Send + 'static>(
    flows: &FlowsHandle,
    at: impl FnOnce(&FlowsHandle) -> T + Send + 'static,
) -> Result<T, Refusal> {
    let flows = flows.clone();
    let looked = spawn_blocking(move || at(&flows)).await;
    looked.map_err(|_| Refusal::gone())
}

/// Sessions that match, from that slot on, and where to go on.
async fn sessions(admin: &Admin, of: Of, from: u32) -> Result<Found, Refusal> {
    let question = admin.asker.ask(move |control, now| match of.session {
        Some(name) => one(&control.node, name, &of.sessions, from, now),
        None => Ok(page(
            &control.node,
            &of.sessions,
            from,
            SLOTS_PER_QUESTION,
            now,
        )),
    });
    question.await.map_err(|_| Refusal::gone())?
}

fn page(node: &Node, filter: &SessionFilter, from: u32, slots: u32, now: Instant) -> Found {
    let before = from.checked_sub(1).map(SlotIndex);
    let page = node.sessions(filter, before, slots, now);
    let found = page.sessions.into_iter();
    let found = found.map(|session| (session.slot, Owner::from(session)));
    let next = page.next.map(|SlotIndex(last)| last.saturating_add(1));
    (found.collect(), next)
}

/// The session of that name, if it matches the rest of the filter too.
fn one(
    node: &Node,
    name: SessionName,
    filter: &SessionFilter,
    from: u32,
    now: Instant,
) -> Result<Found, Refusal> {
    let session = node.session(TunnelId(name.tunnel), SessionId(name.session), now);
    let SlotIndex(slot) = session.ok_or_else(|| no_session(name))?.slot;
    let (found, _) = page(node, filter, slot.max(from), 1, now);
    let is_it = |(SlotIndex(found), _): &(SlotIndex, Owner)| *found == slot;
    Ok((found.into_iter().filter(is_it).collect(), None))
}

/// Whose the ports are, as far as somebody has them.
pub(super) async fn owners(
    admin: &Admin,
    ports: BTreeSet<u32>,
) -> Result<BTreeMap<u32, Owner>, Refusal> {
    let mut owners = BTreeMap::new();
    let ports: Vec<u32> = ports.into_iter().collect();
    for part in ports.chunks(OWNERS_PER_QUESTION) {
        let part = part.to_vec();
        let question = admin.asker.ask(move |control, now| {
            let of = |port: u32| {
                let session = control.node.session_at(SlotIndex(port), now)?;
                Some((port, Owner::from(session)))
            };
            part.into_iter().filter_map(of).collect::<Vec<_>>()
        });
        owners.extend(question.await.map_err(|_| Refusal::gone())?);
    }
    Ok(owners)
}

/// Takes what is still wanted of a batch: those records, and where to go on if that is enough.
pub(super) fn cut(
    batch: &mut Batch,
    skip: usize,
    wanted: usize,
) -> (Vec<Record>, ControlFlow<Cursor>) {
    let left = batch.records.len().saturating_sub(skip);
    let taken: Vec<Record> = batch.records.drain(..).skip(skip).take(wanted).collect();
    let flow = if left > wanted {
        ControlFlow::Break(Cursor {
            place: batch.place,
            skip: skip.saturating_add(taken.len()),
        })
    } else {
        ControlFlow::Continue(())
    };
    (taken, flow)
}

#[cfg(test)]
mod tests {
    use lns_l2sess::Direction;
    use lns_l2sess::key::Detail;

    use super::super::row::tests::{owner, record};
    use super::*;

    fn batch(flows: u16) -> Batch {
        let flow = |port| {
            let detail = Detail::Ports {
                source: port,
                destination: 53,
            };
            record(Direction::Input, 17, detail)
        };
        Batch {
            place: 5,
            records: (0..flows).map(flow).collect(),
            owner: None,
            slot: None,
            next: Some(6),
        }
    }

    fn cursor(place: u32, skip: usize) -> Cursor {
        Cursor { place, skip }
    }

    #[test]
    fn a_place_and_what_was_shown_of_it_are_one_number() {
        for cursor in [
            cursor(0, 0),
            cursor(7, 400),
            cursor(1 << 20, 1 << 24),
            cursor(u32::MAX, 1),
        ] {
            assert_eq!(Cursor::new(cursor.number()).unwrap(), cursor);
        }
        assert!(Cursor::new(u64::MAX).is_err());
    }

    #[test]
    fn pages_of_any_size_have_every_flow_once() {
        for size in 1..=5 {
            let (mut skip, mut seen) = (0, Vec::new());
            loop {
                let (taken, flow) = cut(&mut batch(4), skip, size);
                seen.extend(taken.iter().map(|record| record.key));
                match flow {
                    ControlFlow::Break(next) => {
                        assert_eq!((next.place, taken.len()), (5, size));
                        skip = next.skip;
                    }
                    ControlFlow::Continue(()) => break,
                }
            }
            let all: Vec<_> = batch(4).records.iter().map(|record| record.key).collect();
            assert_eq!(seen, all, "pages of {size}");
        }
    }

    #[test]
    fn flows_that_went_meanwhile_do_not_end_the_walk() {
        let (taken, flow) = cut(&mut batch(3), 8, 10);
        assert!(taken.is_empty() && flow.is_continue());
    }

    #[test]
    fn a_flow_is_not_of_a_session_that_is_younger() {
        let owner = owner();
        assert!(owner.may_have(1_000) && owner.may_have(1_002));
        assert!(!owner.may_have(1_003));
    }
}
