//! Status checks: how a server that does not answer is asked whether it lives.
//!
//! A password in the manifest would lie open, so that a check's User-Password is in a Secret.

use super::{
    BTreeMap, Deserialize, JsonSchema, KubeSchema, Rule, SecretReference, Serialize, format,
};

/// How a server that checks subscribers is asked whether it lives.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = attributes_with_a_check(),
    validation = Rule::new("self.type != 'AccessRequest' || has(self.passwordSecretRef)")
        .message("is required with type: AccessRequest; name a Secret with the key password")
        .field_path(".passwordSecretRef"),
    validation = Rule::new("!(self.type in ['None', 'StatusServer']) || !has(self.passwordSecretRef)")
        .message(Message::Expression("'must be absent with type: ' + self.type + ', which sends no password'".into()))
        .field_path(".passwordSecretRef"),
)]
pub struct AuthenticationStatusCheck {
    /// `StatusServer`: by Status-Server (RFC 5997). `AccessRequest`: by the login of a user, and Accept and
    /// Reject both mean that the server lives. Auto: by the first of them that is answered, the latter
    /// only with User-Name and passwordSecretRef. None: not at all; it is connected anew. A change takes
    /// effect at once.
    #[serde(default, rename = "type")]
    pub kind: AuthenticationCheckType,

    /// What a check says beside nasIdentifier and nasAddress: names of RADIUS attributes, and their
    /// values. A number, an address or a text, by attribute; nothing is filled in. Status-Server goes
    /// without the User-Name. A change takes effect at once.
    #[serde(default)]
    #[schemars(extend("maxProperties" = crate::limits::CHECK_ATTRIBUTES), schema_with = "format::attributes")]
    pub attributes: BTreeMap<String, String>,

    /// The Secret with the User-Password of a check: key password. A change takes effect at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_secret_ref: Option<SecretReference>,
}

/// What a server that checks subscribers is asked.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AuthenticationCheckType {
    #[doc = "The first of `StatusServer` and `AccessRequest` that it answers."]
    #[default]
    Auto,
    #[doc = "Nothing."]
    None,
    #[doc = "Status-Server (RFC 5997)."]
    StatusServer,
    #[doc = "Access-Request."]
    AccessRequest,
}

/// How a server that is told of sessions is asked whether it lives.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = attributes_with_a_check())]
pub struct AccountingStatusCheck {
    /// `StatusServer`: by Status-Server (RFC 5997). `AccountingRequest`: by a record of a user, which the
    /// server keeps like any other. Auto: by the first of them that is answered, the latter only with
    /// User-Name. None: not at all; it is connected anew. A change takes effect at once.
    #[serde(default, rename = "type")]
    pub kind: AccountingCheckType,

    /// What a check says beside nasIdentifier and nasAddress: names of RADIUS attributes, and their
    /// values. A number, an address or a text, by attribute; nothing is filled in. Status-Server goes
    /// without the User-Name; an Accounting-Request is a Stop, each with an Acct-Session-Id that is drawn
    /// at random. A change takes effect at once.
    #[serde(default)]
    #[schemars(extend("maxProperties" = crate::limits::CHECK_ATTRIBUTES), schema_with = "format::attributes")]
    pub attributes: BTreeMap<String, String>,
}

/// What a server that is told of sessions is asked.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AccountingCheckType {
    #[doc = "The first of `StatusServer` and `AccountingRequest` that it answers."]
    #[default]
    Auto,
    #[doc = "Nothing."]
    None,
    #[doc = "Status-Server (RFC 5997)."]
    StatusServer,
    #[doc = "Accounting-Request."]
    AccountingRequest,
}

fn attributes_with_a_check() -> Rule {
    Rule::new("self.type != 'None' || size(self.attributes) == 0")
        .message("must be absent with type: None, which says nothing")
        .field_path(".attributes")
}
