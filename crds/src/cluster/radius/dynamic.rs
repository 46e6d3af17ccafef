//! Dynamic authorization: who may change or end a session that lives.

use super::{
    Deserialize, IpNet, KubeSchema, RequireMessageAuthenticator, SecretReference, Serialize, format,
};

/// Who may change or end a session that lives (RFC 5176).
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct DynamicAuthorization {
    /// The UDP port at which requests come in, at nasAddress. A change takes effect at once.
    #[serde(default = "port")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: u16,

    /// Who may ask; the first that matches the source address decides. Who matches none gets no answer,
    /// and is counted. A change takes effect at once.
    #[schemars(
        length(min = 1, max = crate::limits::DYNAMIC_CLIENTS),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub clients: Vec<DynamicClient>,
}

/// One who may ask for changes.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct DynamicClient {
    /// What logs and metrics call this client. A change takes effect at once.
    #[schemars(schema_with = "format::name")]
    pub name: String,

    /// The prefixes from which its requests come, IPv4 or IPv6. A change takes effect at once.
    #[schemars(
        with = "Vec<format::Cidr>",
        length(min = 1, max = crate::limits::DYNAMIC_PREFIXES),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub from: Vec<IpNet>,

    /// The Secret with the secret that is shared with this client: key current, and previous while it is
    /// being changed. A change takes effect at once.
    pub secret_ref: SecretReference,

    /// Whether a request must have a Message-Authenticator. Always: it must. Auto: once the client has sent
    /// one. Never: it need not. A change takes effect at once.
    #[serde(default)]
    pub require_message_authenticator: RequireMessageAuthenticator,
}

fn port() -> u16 {
    3799
}
