//! The node's side of RADIUS: what it asks and tells servers, and what it does with their answers.
//!
//! The node opens no socket: its owner drains [`Node::poll_order`] after every `handle_*`, hands orders to
//! the clients of [`lns_radius`], and brings their outcomes back.

mod access;
mod account;
pub(crate) mod accounting;
mod answer;
mod avpair;
mod cause;
mod dynamic;
pub mod grant;
pub(crate) mod line;
mod question;
mod routes;
mod vendors;

use lns_radius::record::Record;
use lns_radius::request::{Request, Token};

pub use account::{AccountId, NotAnAccountId};
pub(crate) use cause::said;
pub(crate) use question::{Granted, Question};
pub use routes::Reach;
pub(crate) use routes::Routes;

use crate::node::Node;

/// What the node wants of RADIUS.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Order {
    /// Ask an authentication server.
    Ask(Box<Request>),
    /// The subscriber has said again what led to this request: in synchronous mode it is sent again.
    Repeat(Token),
    /// Nobody waits for the answer any more.
    Cancel(Token),
    /// Tell the accounting servers.
    Record(Box<Record>),
}

impl Node {
    /// The next order for RADIUS, oldest first.
    pub fn poll_order(&mut self) -> Option<Order> {
        self.orders.pop_front()
    }
}
