//! Names, labels and annotations of what is made for a cluster.

use std::collections::BTreeMap;

/// As whom fields of objects are managed.
pub(crate) const MANAGER: &str = "lns-operator";

/// As whom the fields of a status are.
pub(crate) const STATUS_MANAGER: &str = "lns-operator-status";

/// The name of the program in the pods.
pub(crate) const NAME: &str = "app.kubernetes.io/name";
/// The cluster that an object is of.
pub(crate) const INSTANCE: &str = "app.kubernetes.io/instance";
/// Which part of an LNS it is.
pub(crate) const COMPONENT: &str = "app.kubernetes.io/component";
/// Who made it.
pub(crate) const MANAGED_BY: &str = "app.kubernetes.io/managed-by";

/// The program.
pub(crate) const LNSD: &str = "lnsd";

/// What a pod's template was, by a digest: a pod with another one is to be replaced.
pub(crate) const TEMPLATE: &str = "kubelns.io/template";
/// Of a pod: `master` or `standby`.
pub(crate) const ROLE: &str = "kubelns.io/role";

/// Of a pod: nothing comes to its node any more, because that is cordoned.
pub(crate) const DRAINED: &str = "kubelns.io/drained";
/// What keeps an `LnsCluster` until its end was seen to.
pub(crate) const FINALIZER: &str = "kubelns.io/cleanup";

/// All labels of what is made for a cluster.
pub(crate) fn labels(cluster: &str) -> BTreeMap<String, String> {
    let mut labels = selector(cluster);
    for (key, value) in [(COMPONENT, "dataplane"), (MANAGED_BY, MANAGER)] {
        labels.insert(key.to_owned(), value.to_owned());
    }
    labels
}

/// Those by which the pods of a cluster are found.
pub(crate) fn selector(cluster: &str) -> BTreeMap<String, String> {
    [(NAME, LNSD), (INSTANCE, cluster)]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
}

/// What the `DaemonSet`, the account and the Role of a cluster are called.
pub(crate) fn object_name(cluster: &str) -> String {
    format!("{cluster}-{LNSD}")
}
