//! The reasons that conditions and events have, all of them: programs may go by them, so none ever changes its
//! meaning.

macro_rules! reasons {
    ($($(#[doc = $says:literal])+ $name:ident = $word:literal;)*) => {
        $($(#[doc = $says])+ pub(crate) const $name: &str = $word;)*

        /// Each with what it means, for the documentation.
        #[cfg(test)]
        pub(crate) const ALL: &[(&str, &str)] = &[$(($word, concat!($($says),+))),*];
    };
}

reasons! {
    /// Members serve subscribers, by what the spec says now.
    SERVING = "Serving";
    /// Pods are being replaced, one at a time, the master last.
    ROLLING_OUT = "RollingOut";
    /// A node that is well has no member that serves yet.
    MEMBER_NOT_READY = "MemberNotReady";
    /// Members have not taken over yet what the objects say.
    NOT_IN_FORCE = "NotInForce";
    /// Nothing is under way.
    DONE = "Done";
    /// Nothing is under way, because something must be put right first.
    STALLED = "Stalled";
    /// Nothing waits for somebody.
    NOT_STALLED = "NotStalled";
    /// One node is master.
    ELECTED = "Elected";
    /// No node is master, or none was heard of lately.
    NO_MASTER = "NoMaster";
    /// The store has all records.
    SYNCED = "Synced";
    /// The store is away, or has not all records.
    STORE_LATE = "StoreLate";
    /// All members serve, and the store has all records.
    WHOLE = "Whole";
    /// A node is kept out of service by the annotation kubelns.io/fenced.
    FENCED = "Fenced";
    /// A node is cordoned, and its member leaves the service to the others.
    DRAINING = "Draining";
    /// A node is cordoned, and nothing comes there any more.
    DRAINED = "Drained";
    /// The object is deleted, and kept because it has sessions.
    PROTECTED = "DeletionProtected";
    /// Of an event: a cluster has ended, and records of it stay in the store.
    STORE_LEFT = "StoreNotCleaned";
    /// An annotation says so.
    ANNOTATION = "Annotation";
    /// Changes are carried out.
    NOT_PAUSED = "NotPaused";
    /// The objects break a rule: the message has the field, the value and the rule.
    INVALID = "Invalid";
    /// The API server does not take what is made of it: rights, an admission rule, or a value.
    REFUSED = "Refused";
    /// A Secret that is named is not there, or lacks a key.
    SECRET_MISSING = "SecretMissing";
    /// What a cluster in Kubernetes needs is not in the spec.
    INCOMPLETE = "Incomplete";
    /// No node has the labels of the selector.
    NO_NODES = "NoNodes";
    /// Another cluster has the same address or port on the same node.
    CONFLICT = "Conflict";
    /// The image of the members cannot be pulled.
    IMAGE = "ImageUnavailable";
    /// Of a policy: it is valid, and in the cluster's configuration.
    ACCEPTED = "Accepted";
    /// Of a policy: there is no LnsCluster of this name.
    NO_CLUSTER = "NoSuchCluster";
    /// Of a policy: all members have it in force.
    PROGRAMMED = "Programmed";
}
