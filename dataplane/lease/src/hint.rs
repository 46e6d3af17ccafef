//! The watch of a Lease: a hint that it has changed, and never more than that.
//!
//! A watch may be served from a cache, may be late, and may be lost without a sign. So what it says is
//! used only to decide whether to look earlier. Without it everything goes on, a renewal later.

use core::time::Duration;

use futures::StreamExt as _;
use kube::Api;
use kube::api::{DynamicObject, WatchEvent, WatchParams};
use tokio::sync::mpsc;

use crate::chance;
use crate::limits::{WATCH_PAUSE, WATCH_SECONDS, WATCH_SILENCE};
/// The Lease as the watch has seen it; None: it was deleted.
pub(crate) type Hint = Option<DynamicObject>;

/// A watch that is opened anew whenever it ends.
pub(crate) struct Watch {
    api: Api<DynamicObject>,
    parameters: WatchParams,
    silence: Duration,
    hints: mpsc::Sender<Hint>,
}

impl Watch {
    pub(crate) fn new(
        api: Api<DynamicObject>,
        name: &str,
        renew: Duration,
        hints: mpsc::Sender<Hint>,
    ) -> Self {
        let parameters = WatchParams::default()
            .fields(&format!("metadata.name={name}"))
            .timeout(WATCH_SECONDS);
        Self {
            api,
            parameters,
            silence: WATCH_SILENCE.max(renew.saturating_mul(10)),
            hints,
        }
    }

    /// Watches until nobody listens.
    pub(crate) async fn run(self) {
        let (first, longest) = WATCH_PAUSE;
        let mut pause = first;
        while !self.hints.is_closed() {
            let has_spoken = self.once().await;
            pause = if has_spoken {
                first
            } else {
                pause.saturating_mul(2).min(longest)
            };
            let half = pause.mul_f64(0.5);
            tokio::time::sleep(half.saturating_add(chance::up_to(half))).await;
        }
    }

    /// From what there is now until the watch ends, fails or falls silent. Whether it said anything.
    ///
    /// It begins with version 0, which is whatever is at hand: so none is too old (410) to begin with,
    /// and the Lease as it is comes first.
    async fn once(&self) -> bool {
        let opening = self.api.watch(&self.parameters, "0");
        let Ok(Ok(events)) = tokio::time::timeout(self.silence, opening).await else {
            return false;
        };
        let mut events = core::pin::pin!(events);
        let mut has_spoken = false;
        while let Ok(Some(Ok(event))) = tokio::time::timeout(self.silence, events.next()).await {
            let hint = match event {
                WatchEvent::Added(lease) | WatchEvent::Modified(lease) => Some(lease),
                WatchEvent::Deleted(_) => None,
                WatchEvent::Bookmark(_) => continue,
                WatchEvent::Error(_) => return has_spoken,
            };
            has_spoken = true;
            // If there are some already, the elector is about to look.
            let _full = self.hints.try_send(hint);
        }
        has_spoken
    }
}
