//! How requests are repeated: RFC 5080, section 2.2.1, within the bounds that servers bear.

use super::{Deserialize, KubeSchema, Rule, Serialize};

/// How an Access-Request that is not answered is repeated.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rising())]
pub struct AuthenticationRetransmission {
    /// Seconds until the first repetition (IRT); each further one waits twice as long. A change takes
    /// effect at once, for new requests.
    #[serde(default = "initial")]
    #[schemars(range(min = 1, max = 15))]
    pub initial_seconds: u8,

    /// Seconds between two repetitions at most (MRT). A change takes effect at once, for new requests.
    #[serde(default = "longest")]
    #[schemars(range(min = 5, max = 30))]
    pub maximum_seconds: u8,

    /// Times that a request is sent (MRC). A change takes effect at once, for new requests.
    #[serde(default = "count")]
    #[schemars(range(min = 1, max = 10))]
    pub maximum_count: u8,

    /// Seconds after which it is given up (MRD). A change takes effect at once, for new requests.
    #[serde(default = "duration")]
    #[schemars(range(min = 5, max = 90))]
    pub maximum_duration_seconds: u8,
}

impl Default for AuthenticationRetransmission {
    fn default() -> Self {
        Self {
            initial_seconds: initial(),
            maximum_seconds: longest(),
            maximum_count: count(),
            maximum_duration_seconds: duration(),
        }
    }
}

/// How an Accounting-Request that is not answered is repeated.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rising())]
pub struct AccountingRetransmission {
    /// Seconds until the first repetition (IRT); each further one waits twice as long. A change takes
    /// effect at once, for new requests.
    #[serde(default = "initial")]
    #[schemars(range(min = 1, max = 5))]
    pub initial_seconds: u8,

    /// Seconds between two repetitions at most (MRT). A change takes effect at once, for new requests.
    #[serde(default = "longest")]
    #[schemars(range(min = 1, max = 30))]
    pub maximum_seconds: u8,

    /// Times that a record is sent to one server (MRC). A change takes effect at once, for new requests.
    #[serde(default = "count")]
    #[schemars(range(min = 1, max = 10))]
    pub maximum_count: u8,

    /// Seconds after which the next server has its turn (MRD). A change takes effect at once, for new
    /// requests.
    #[serde(default = "duration")]
    #[schemars(range(min = 1, max = 30))]
    pub maximum_duration_seconds: u8,
}

impl Default for AccountingRetransmission {
    fn default() -> Self {
        Self {
            initial_seconds: initial(),
            maximum_seconds: longest(),
            maximum_count: count(),
            maximum_duration_seconds: duration(),
        }
    }
}

fn rising() -> Rule {
    Rule::new("self.maximumSeconds >= self.initialSeconds")
        .message("is less than initialSeconds, which it bounds")
        .field_path(".maximumSeconds")
}

fn initial() -> u8 {
    2
}

fn longest() -> u8 {
    16
}

fn count() -> u8 {
    5
}

fn duration() -> u8 {
    30
}
