//! Requests for one Lease of an API server, and what is concluded from the answers (rule E3).
//!
//! No answer is taken for more than it says. What is unclear is [`Answer::Unknown`]: no answer in time, a
//! broken connection, any error that does not say whether the write was done, a body that is no Lease or
//! another one than was written. Then the elector looks before it writes again.
//!
//! | request | answer | is |
//! |---|---|---|
//! | GET without a resource version: the API server asks its store, and no cache | 200 | found |
//! | | 404, and its body says that this Lease is not there | found: none |
//! | PUT with the resource version that was read | 200, with what was written | written |
//! | | 409, 404 of this Lease | conflict |
//! | POST | 201, with what was written | written |
//! | | 409 | conflict |
//! | any | all else | unknown |

use core::time::Duration;
use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
use kube::api::{DynamicObject, PostParams};
use kube::core::Status;
use kube::{Api, Client, Error};
use lns_cluster::{Answer, Operation, Record, Request, RequestId, Revision};

use crate::notes::Notes;
use crate::object::{Content, Form, emit, kind};
use crate::record::{content, parse};
use crate::trouble::{Cause, of_error};

/// Why there is no usable answer.
pub(crate) type Failure = (Cause, Arc<str>);

/// One Lease of an API server.
#[derive(Clone)]
pub(crate) struct LeaseApi {
    api: Api<DynamicObject>,
    form: Arc<Form>,
    parameters: PostParams,
    patience: Duration,
}

/// What came of a request of an elector.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) id: RequestId,
    pub(crate) answer: Answer,
    /// The Lease as it is now, with all that others put there.
    pub(crate) lease: Option<DynamicObject>,
    pub(crate) trouble: Option<Failure>,
}

impl LeaseApi {
    pub(crate) fn new(client: Client, form: Form, manager: &str, patience: Duration) -> Self {
        Self {
            api: Api::namespaced_with(client, &form.namespace, &kind()),
            form: Arc::new(form),
            parameters: PostParams {
                field_manager: Some(manager.to_owned()),
                ..PostParams::default()
            },
            patience,
        }
    }

    pub(crate) const fn objects(&self) -> &Api<DynamicObject> {
        &self.api
    }

    pub(crate) fn name(&self) -> &str {
        self.form.name.as_str()
    }

    /// Sends a request of an elector now. `base` is the Lease that it is conditional on.
    pub(crate) async fn send(
        self,
        request: Request,
        base: Option<DynamicObject>,
        notes: Notes,
    ) -> Outcome {
        let id = request.id;
        let result = match request.operation {
            Operation::Read => self.read().await,
            Operation::Write { record, base: on } => {
                self.write(&record, on.as_ref(), base, &notes).await
            }
        };
        let (answer, lease, trouble) = match result {
            Ok((answer, lease)) => (answer, lease, None),
            Err(trouble) => (Answer::Unknown, None, Some(trouble)),
        };
        Outcome {
            id,
            answer,
            lease,
            trouble,
        }
    }

    /// The Lease as it is in the store.
    pub(crate) async fn get(&self) -> Result<Option<DynamicObject>, Failure> {
        match self.in_time(self.api.get(self.name())).await? {
            Ok(lease) => Ok(Some(lease)),
            Err(Error::Api(status)) if self.is_missing(&status) => Ok(None),
            Err(error) => Err(of_error(&error)),
        }
    }

    /// Writes it over `base`, or a new one. None: it is another one than `base`, or there is one.
    pub(crate) async fn put(
        &self,
        content: Content,
        base: Option<&DynamicObject>,
        notes: &Notes,
    ) -> Result<Option<DynamicObject>, Failure> {
        let lease = emit(content, base, &self.form, notes, Timestamp::now());
        let lease = lease.map_err(|error| unreadable(&error.to_string()))?;
        let result = if base.is_some() {
            let put = self.api.replace(self.name(), &self.parameters, &lease);
            self.in_time(put).await?
        } else {
            let post = self.api.create(&self.parameters, &lease);
            self.in_time(post).await?
        };
        match result {
            Ok(lease) => Ok(Some(lease)),
            Err(Error::Api(status)) if is_conflict(&status) => Ok(None),
            Err(Error::Api(status)) if base.is_some() && self.is_missing(&status) => Ok(None),
            Err(error) => Err(of_error(&error)),
        }
    }

    async fn read(&self) -> Result<(Answer, Option<DynamicObject>), Failure> {
        let Some(lease) = self.get().await? else {
            return Ok((Answer::Found(None), None));
        };
        let stored = self.is_it(&lease).then(|| parse(&lease)).flatten();
        let stored = stored.ok_or_else(|| unreadable("what was read is not the Lease"))?;
        Ok((Answer::Found(Some(stored)), Some(lease)))
    }

    async fn write(
        &self,
        record: &Record,
        on: Option<&Revision>,
        base: Option<DynamicObject>,
        notes: &Notes,
    ) -> Result<(Answer, Option<DynamicObject>), Failure> {
        let version = on.map(|Revision(version)| &**version);
        let base = base.filter(|base| base.metadata.resource_version.as_deref() == version);
        if on.is_some() && base.is_none() {
            let text = "the Lease that the write is conditional on is not at hand";
            return Err(unreadable(text));
        }
        let Some(lease) = self.put(content(record), base.as_ref(), notes).await? else {
            return Ok((Answer::Conflict, None));
        };
        let stored = self.is_it(&lease).then(|| parse(&lease)).flatten();
        let stored = stored.filter(|stored| stored.record == *record);
        let stored = stored.ok_or_else(|| unreadable("the Lease is not what was written"))?;
        Ok((Answer::Written(stored.revision), Some(lease)))
    }

    async fn in_time<T>(
        &self,
        request: impl Future<Output = Result<T, Error>>,
    ) -> Result<Result<T, Error>, Failure> {
        let in_time = tokio::time::timeout(self.patience, request).await;
        in_time.map_err(|_| too_late(self.patience))
    }

    fn is_it(&self, lease: &DynamicObject) -> bool {
        lease.metadata.name.as_deref() == Some(self.name())
    }

    /// Whether the API server itself says that this Lease is not there. A 404 of something on the way,
    /// or of a server that has no Leases yet, does not.
    fn is_missing(&self, status: &Status) -> bool {
        let details = status.details.as_ref();
        let is_it =
            details.is_some_and(|details| details.kind == "leases" && details.name == self.name());
        status.code == 404 && status.reason == "NotFound" && is_it
    }
}

/// No answer came.
pub(crate) fn too_late(patience: Duration) -> Failure {
    let text = format!("the API server gave no answer within {patience:?}");
    (Cause::Timeout, text.into())
}

fn is_conflict(status: &Status) -> bool {
    status.code == 409 && matches!(status.reason.as_str(), "Conflict" | "AlreadyExists")
}

fn unreadable(text: &str) -> Failure {
    (Cause::Unreadable, text.into())
}

#[cfg(test)]
mod tests;
