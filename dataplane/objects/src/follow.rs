//! One object, or all of a kind, as they are and as they change.
//!
//! What there is is asked first, of the API server's store and not of a cache; then it is watched. A watch
//! that ends in order is opened anew where it was; one that fails, or is too old to go on, begins with a look
//! at everything, after a pause. An object that is not there is looked for again and again: a watch would
//! have to begin with what a cache has, which may be an object that is gone.

use core::time::Duration;

use futures::{Stream, StreamExt as _};
use kube::api::{DynamicObject, ListParams, WatchEvent, WatchParams};
use kube::{Api, Error};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use crate::limits::{ABSENT, GRACE, PAGE, PATIENCE};
use crate::pause::{Pause, jittered};
use crate::words;

/// Whose news they are.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Source {
    /// The `LnsCluster`.
    Cluster,
    /// The `SessionPolicy`s of the namespace.
    Policies,
    /// The `Secret` of this name.
    Secret(String),
}

/// What is new.
#[derive(Debug)]
pub(crate) enum Said {
    /// There are these and no others.
    All(Vec<Value>),
    /// This one is new, or another one than before.
    Changed(Value),
    /// The one of this name is gone.
    Gone(String),
    /// Why it cannot be seen whether anything has changed.
    Trouble(String),
    /// It can be seen.
    Well,
}

/// What is followed.
pub(crate) struct Follower {
    pub(crate) api: Api<DynamicObject>,
    pub(crate) source: Source,
    /// The one object; none: all.
    pub(crate) name: Option<String>,
    /// For how long a watch is kept open.
    pub(crate) seconds: u32,
    pub(crate) news: mpsc::Sender<(Source, Said)>,
}

/// Why the watch ended.
enum Ended {
    /// In order: it goes on from this version.
    At(String),
    /// Everything is to be looked at anew.
    TooOld,
}

/// Nobody listens any more, or what went wrong.
enum Failed {
    Alone,
    Because(String),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Because(words::of_error(&error))
    }
}

impl Follower {
    /// Follows until nobody listens.
    pub(crate) async fn run(self) {
        let mut pause = Pause::new();
        loop {
            match self.round(&mut pause).await {
                Ok(()) => {}
                Err(Failed::Alone) => return,
                Err(Failed::Because(words)) => {
                    if self.tell(Said::Trouble(words)).await.is_err() {
                        return;
                    }
                    sleep(pause.next()).await;
                }
            }
        }
    }

    /// From a look at everything until another one is needed.
    async fn round(&self, pause: &mut Pause) -> Result<(), Failed> {
        let Some(mut version) = self.look().await? else {
            pause.reset();
            sleep(jittered(ABSENT)).await;
            return Ok(());
        };
        loop {
            match self.watch(version, pause).await? {
                Ended::At(reached) => version = reached,
                Ended::TooOld => return Ok(()),
            }
        }
    }

    /// Tells what there is. From where a watch goes on; none: the object is not there.
    async fn look(&self) -> Result<Option<String>, Failed> {
        let (all, version) = if let Some(name) = &self.name {
            let found = in_time(self.api.get_opt(name)).await??;
            let version = found.as_ref().map(version_of).transpose()?;
            (found.into_iter().collect(), version)
        } else {
            let (all, version) = self.list().await?;
            (all, Some(version))
        };
        let all: Result<Vec<_>, _> = all.iter().map(value).collect();
        self.tell(Said::All(all?)).await?;
        self.tell(Said::Well).await?;
        Ok(version)
    }

    async fn list(&self) -> Result<(Vec<DynamicObject>, String), Failed> {
        let mut parameters = ListParams::default().limit(PAGE);
        let mut all = Vec::new();
        loop {
            let page = in_time(self.api.list(&parameters)).await??;
            all.extend(page.items);
            let more = page.metadata.continue_.filter(|token| !token.is_empty());
            let Some(token) = more else {
                let version = page.metadata.resource_version;
                return Ok((all, version.ok_or_else(unversioned)?));
            };
            parameters = parameters.continue_token(&token);
        }
    }

    /// Tells what changes from a version on.
    async fn watch(&self, version: String, pause: &mut Pause) -> Result<Ended, Failed> {
        let mut parameters = WatchParams::default().timeout(self.seconds);
        if let Some(name) = &self.name {
            parameters = parameters.fields(&format!("metadata.name={name}"));
        }
        let events = match in_time(self.api.watch(&parameters, &version)).await? {
            Ok(events) => events,
            Err(Error::Api(status)) if status.code == GONE => return Ok(Ended::TooOld),
            Err(error) => return Err(error.into()),
        };
        self.tell(Said::Well).await?;
        pause.reset();
        let most = Duration::from_secs(self.seconds.into()).saturating_add(GRACE);
        let told = timeout(most, self.take(events, version)).await;
        told.unwrap_or_else(|_| {
            Err(Failed::Because(
                "the API server has fallen silent".to_owned(),
            ))
        })
    }

    async fn take(
        &self,
        events: impl Stream<Item = Result<WatchEvent<DynamicObject>, Error>>,
        mut version: String,
    ) -> Result<Ended, Failed> {
        let mut events = core::pin::pin!(events);
        let mut is_first = true;
        while let Some(event) = events.next().await {
            match event? {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                    version = version_of(&object)?;
                    self.tell(Said::Changed(value(&object)?)).await?;
                }
                WatchEvent::Deleted(object) => {
                    version = version_of(&object)?;
                    let name = object.metadata.name.unwrap_or_default();
                    self.tell(Said::Gone(name)).await?;
                }
                WatchEvent::Bookmark(bookmark) => version = bookmark.metadata.resource_version,
                WatchEvent::Error(status) if status.code == GONE => return Ok(Ended::TooOld),
                WatchEvent::Error(status) => {
                    return Err(Failed::Because(words::of_status(&status)));
                }
            }
            is_first = false;
        }
        if is_first {
            // It ended at once, or without a word: whoever does so for ever is not asked without a pause.
            sleep(jittered(Duration::from_millis(500))).await;
        }
        Ok(Ended::At(version))
    }

    async fn tell(&self, said: Said) -> Result<(), Failed> {
        let told = self.news.send((self.source.clone(), said)).await;
        told.map_err(|_| Failed::Alone)
    }
}

/// The version that a watch asks for is too old to be had.
const GONE: u16 = 410;

async fn in_time<T>(asked: impl Future<Output = T>) -> Result<T, Failed> {
    let answer = timeout(PATIENCE, asked).await;
    answer.map_err(|_| Failed::Because("the API server does not answer".to_owned()))
}

fn version_of(object: &DynamicObject) -> Result<String, Failed> {
    let version = object.metadata.resource_version.clone();
    version.ok_or_else(unversioned)
}

fn unversioned() -> Failed {
    Failed::Because("the API server answers with an object without a version".to_owned())
}

/// The object as it was sent.
fn value(object: &DynamicObject) -> Result<Value, Failed> {
    // An error of this would quote what cannot be written, and it may be a Secret.
    serde_json::to_value(object)
        .map_err(|_| Failed::Because("the API server answers with what is no object".to_owned()))
}

#[cfg(test)]
mod tests;
