//! The task that keeps the book: it starts and ends followers, and tells what comes of their news.

use std::collections::BTreeMap;
use std::sync::Arc;

use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, Client};
use lns_api::{LnsCluster, SessionPolicy};
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep_until};

use crate::Sight;
use crate::book::{Book, Look};
use crate::follow::{Follower, Said, Source};
use crate::limits::{CLUSTER_SECONDS, DEBOUNCE, LONGEST_DEBOUNCE, NEWS, OTHER_SECONDS};

/// What follows the objects of one cluster.
pub(crate) struct Task {
    client: Client,
    namespace: String,
    name: String,
    book: Book,
    publish: watch::Sender<Sight>,
    trouble: watch::Sender<Option<Arc<str>>>,
    news: mpsc::Sender<(Source, Said)>,
    heard: mpsc::Receiver<(Source, Said)>,
    /// They end with it.
    followers: JoinSet<()>,
    secrets: BTreeMap<String, AbortHandle>,
}

/// When what has changed is looked at.
#[derive(Clone, Copy)]
struct Due {
    /// If nothing else changes.
    at: Instant,
    /// In any case.
    latest: Instant,
}

impl Task {
    pub(crate) fn new(
        client: Client,
        namespace: &str,
        name: &str,
        publish: watch::Sender<Sight>,
        trouble: watch::Sender<Option<Arc<str>>>,
    ) -> Self {
        let (news, heard) = mpsc::channel(NEWS);
        Self {
            client,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            book: Book::new(name),
            publish,
            trouble,
            news,
            heard,
            followers: JoinSet::new(),
            secrets: BTreeMap::new(),
        }
    }

    pub(crate) async fn run(mut self) {
        let cluster = ApiResource::erase::<LnsCluster>(&());
        let name = self.name.clone();
        self.follow(&cluster, Source::Cluster, Some(name), CLUSTER_SECONDS);
        let policies = ApiResource::erase::<SessionPolicy>(&());
        self.follow(&policies, Source::Policies, None, OTHER_SECONDS);
        let mut due: Option<Due> = None;
        loop {
            let at = due.map_or_else(Instant::now, |due| due.at.min(due.latest));
            tokio::select! {
                heard = self.heard.recv() => {
                    let Some((source, said)) = heard else { return };
                    if self.note(&source, said) {
                        due = Some(Due::after(due));
                    }
                }
                () = sleep_until(at), if due.is_some() => {
                    due = None;
                    self.look().await;
                }
            }
        }
    }

    /// Whether there is something to be looked at.
    fn note(&mut self, source: &Source, said: Said) -> bool {
        let has_changed = self.book.note(source, said);
        if has_changed && *source == Source::Cluster {
            self.follow_secrets();
        }
        let trouble = self.book.trouble();
        self.trouble.send_if_modified(|told| {
            let differs = *told != trouble;
            *told = trouble;
            differs
        });
        has_changed
    }

    fn follow_secrets(&mut self) {
        let (new, old) = self.book.rename();
        for name in old {
            if let Some(follower) = self.secrets.remove(&name) {
                follower.abort();
            }
        }
        // They have ended, and are forgotten.
        while self.followers.try_join_next().is_some() {}
        let secrets = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "Secret"));
        for name in new {
            let source = Source::Secret(name.clone());
            let follower = self.follow(&secrets, source, Some(name.clone()), OTHER_SECONDS);
            self.secrets.insert(name, follower);
        }
    }

    fn follow(
        &mut self,
        kind: &ApiResource,
        source: Source,
        name: Option<String>,
        seconds: u32,
    ) -> AbortHandle {
        let client = self.client.clone();
        let api: Api<DynamicObject> = Api::namespaced_with(client, &self.namespace, kind);
        let follower = Follower {
            api,
            source,
            name,
            seconds,
            news: self.news.clone(),
        };
        self.followers.spawn(follower.run())
    }

    /// Tells what there is, if it differs from what was told last.
    async fn look(&self) {
        let sight = match self.book.look() {
            Look::Unknown => return,
            Look::Without(sight) => sight,
            Look::With(parts) => {
                // A million users, or ten thousand rules, take their time.
                let read = tokio::task::spawn_blocking(move || parts.read()).await;
                match read {
                    Ok(seen) => Sight::There(Arc::new(seen)),
                    Err(_ended) => return,
                }
            }
        };
        self.publish.send_if_modified(|told| {
            let differs = *told != sight;
            *told = sight;
            differs
        });
    }
}

impl Due {
    /// After a change, with another one before it or not.
    fn after(before: Option<Self>) -> Self {
        let now = Instant::now();
        let latest = now.checked_add(LONGEST_DEBOUNCE).unwrap_or(now);
        Self {
            at: now.checked_add(DEBOUNCE).unwrap_or(now),
            latest: before.map_or(latest, |due| due.latest),
        }
    }
}
