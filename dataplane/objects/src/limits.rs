//! How long and how much, each with its reason.

use core::time::Duration;

/// A change must rest for so long: whoever applies a file changes one object after the other.
pub(crate) const DEBOUNCE: Duration = Duration::from_millis(300);

/// Where changes never rest, they are looked at so long after the first.
pub(crate) const LONGEST_DEBOUNCE: Duration = Duration::from_secs(3);

/// The first and the longest pause before an API server is asked again that did not answer.
pub(crate) const PAUSE: (Duration, Duration) =
    (Duration::from_millis(250), Duration::from_secs(10));

/// The pause before it is looked again whether an object is there that was not.
pub(crate) const ABSENT: Duration = Duration::from_secs(3);

/// How long a request is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// For how many seconds a watch of the cluster is kept open. A connection that is lost without a sign is
/// noticed after that.
pub(crate) const CLUSTER_SECONDS: u32 = 60;

/// The same for all others: there may be hundreds, and a connection that is lost is the cluster's too.
pub(crate) const OTHER_SECONDS: u32 = 270;

/// How much longer than that a watch may last.
pub(crate) const GRACE: Duration = Duration::from_secs(10);

/// Objects of one page of a list.
pub(crate) const PAGE: u32 = 100;

/// Secrets that are followed: more than a cluster can name.
pub(crate) const SECRETS: usize = 1_024;

/// News that wait for the task, which takes them at once. Whoever has more waits.
pub(crate) const NEWS: usize = 64;
