//! Status checks: what a server is asked when it does not answer (RFC 5997).

lns_wire::labelled! {
    /// A kind of status check.
    pub enum CheckKind {
        /// RFC 5997.
        StatusServer = "status_server",
        /// A login that nobody uses; Accept and Reject both mean that the server lives.
        AccessRequest = "access_request",
        /// A record that nobody needs.
        AccountingRequest = "accounting_request",
    }
}
