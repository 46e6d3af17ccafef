//! The subscribers: where they are known, and what holds for every session.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{format, policy::PolicyReference};

/// Who the subscribers are.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Subscribers {
    /// Users that the LNS knows by itself. A change takes effect for new sessions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local_users: Option<LocalUsers>,

    /// The policies, asked in this order, of each subscriber whom no Filter-Id gives others. A change
    /// takes effect at once: who has them is given the new ones, and loses the flows that are open.
    #[serde(default)]
    #[schemars(
        length(max = crate::limits::CHAIN),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub default_policy_refs: Vec<PolicyReference>,

    /// What happens at a login with a Filter-Id that no policy has. `UseDefault`: the session gets the
    /// default policies. Refuse: the login fails. A change takes effect at once, for whoever logs in
    /// from then on.
    #[serde(default)]
    pub unknown_filter_id: UnknownFilterId,

    /// What happens when a subscriber logs in who is logged in already. A change takes effect at once,
    /// for whoever logs in from then on.
    #[serde(default)]
    pub duplicates: Duplicates,

    /// Seconds without a packet from or to the subscriber after which his session ends; 0 means never.
    /// A change takes effect for new sessions.
    #[serde(default)]
    #[schemars(range(min = 0, max = 31_536_000))]
    pub idle_seconds: u32,

    /// Seconds after which a session ends in any case; 0 means never. A change takes effect for new
    /// sessions.
    #[serde(default)]
    #[schemars(range(min = 0, max = 31_536_000))]
    pub session_seconds: u32,
}

/// Users that the LNS knows by itself.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct LocalUsers {
    /// The Secret with the key users.yaml: a map from user name to a password, or to { password,
    /// policies, address }; policies are values of Filter-Id. A change takes effect for new sessions; a live one that is challenged again must
    /// answer with the new password.
    pub secret_ref: SecretReference,

    /// When they are looked up, where RADIUS is there to ask too. Before: first, and RADIUS is asked about
    /// the others. After: where no RADIUS server has answered; a server's no is final. Only: RADIUS is not
    /// asked. EAP is always for RADIUS. A change takes effect for new sessions; one that logs in again goes
    /// by it, too.
    #[serde(default)]
    pub order: LocalUsersOrder,
}

/// When local users are looked up.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LocalUsersOrder {
    #[doc = "Before RADIUS is asked, which is asked about all others."]
    #[default]
    Before,
    #[doc = "Where no RADIUS server has answered."]
    After,
    #[doc = "Always; RADIUS is not asked."]
    Only,
}

/// A Secret of the same namespace.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SecretReference {
    /// The Secret's name. A change takes effect when that of the field that holds the reference does.
    #[schemars(schema_with = "format::object_name")]
    pub name: String,
}

/// What happens at a login with a Filter-Id that no policy has.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnknownFilterId {
    #[doc = "The session gets the default policies."]
    #[default]
    UseDefault,
    #[doc = "The login fails."]
    Refuse,
}

/// What happens when a subscriber logs in who is logged in already.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Duplicates {
    /// What two sessions must have in common, all of it, to be the same subscriber's. A change takes
    /// effect at once, for whoever logs in from then on.
    #[serde(default = "duplicate_key")]
    #[schemars(length(min = 1, max = 3), extend("x-kubernetes-list-type" = "set"))]
    pub key: Vec<DuplicateKey>,

    /// Allow: both live. Replace: the older session ends. Refuse: the newer login fails. A change
    /// takes effect at once, for whoever logs in from then on.
    #[serde(default)]
    pub action: DuplicateAction,
}

impl Default for Duplicates {
    fn default() -> Self {
        Self {
            key: duplicate_key(),
            action: DuplicateAction::default(),
        }
    }
}

/// What can tell that two sessions are the same subscriber's.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum DuplicateKey {
    #[doc = "The name that the subscriber logs in with."]
    UserName,
    #[doc = "The Calling Number of the call (RFC 2661, section 4.4.4)."]
    CallingStationId,
    #[doc = "The Physical Channel ID of the call (RFC 2661, section 4.4.4) together with its LAC."]
    NASPortId,
}

/// What happens to the two sessions of one subscriber.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DuplicateAction {
    #[doc = "Both live."]
    #[default]
    Allow,
    #[doc = "The older one ends."]
    Replace,
    #[doc = "The newer login fails."]
    Refuse,
}

fn duplicate_key() -> Vec<DuplicateKey> {
    vec![DuplicateKey::UserName]
}
