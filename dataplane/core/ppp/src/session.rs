//! One subscriber's PPP.

use std::sync::Arc;

use lns_crypto::Rng;
use lns_tables::time::Instant;

use crate::config::{AuthMethod, Config};
use crate::error::Error;
use crate::event::{AddressGrant, CloseReason, Verdict};
use crate::output::Output;
use crate::proxy::Proxy;

/// Where a session is (RFC 1661, 3.2).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Phase {
    /// LCP is being negotiated.
    Establish,
    /// The peer says who it is.
    Authenticate,
    /// IPCP is being negotiated, or open.
    Network,
    /// We have sent a Terminate-Request.
    Terminate,
    /// It is over.
    Dead,
}

/// LCP, authentication and IPCP of one subscriber.
#[derive(Debug)]
pub struct Session {
    config: Arc<Config>,
    phase: Phase,
}

impl Session {
    /// Begins: takes over what the LAC has settled, or sends the first Configure-Request.
    pub fn start(
        config: &Arc<Config>,
        _proxy: Option<&Proxy<'_>>,
        _now: Instant,
        _rng: &mut Rng,
        _out: &mut Output,
    ) -> Self {
        Self {
            config: Arc::clone(config),
            phase: Phase::Establish,
        }
    }

    /// Handles one whole frame as it lay in the payload of a data message.
    ///
    /// # Errors
    /// Why the frame was not acted on: for a counter. The session is unchanged then.
    pub fn handle_frame(
        &mut self,
        _frame: &[u8],
        _now: Instant,
        _rng: &mut Rng,
        _out: &mut Output,
    ) -> Result<(), Error> {
        Ok(())
    }

    /// Takes the answer to [`crate::Event::Authenticate`].
    pub fn handle_verdict(
        &mut self,
        _verdict: &Verdict,
        _now: Instant,
        _rng: &mut Rng,
        _out: &mut Output,
    ) {
    }

    /// Takes the answer to [`crate::Event::AddressWanted`]; `None` ends the session.
    pub fn handle_address(
        &mut self,
        _grant: Option<AddressGrant>,
        _now: Instant,
        _rng: &mut Rng,
        _out: &mut Output,
    ) {
    }

    /// Takes the answer to [`crate::Event::EchoDue`]: when the datapath last received anything.
    pub fn handle_echo(&mut self, _last_received: Instant, _now: Instant, _out: &mut Output) {}

    /// Does what is due. Call it when [`Session::poll_timeout`] has come; earlier does nothing.
    pub fn handle_timeout(&mut self, _now: Instant, _rng: &mut Rng, _out: &mut Output) {}

    /// When to call [`Session::handle_timeout`] next; ask after each other call.
    pub fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    /// Ends the session: a Terminate-Request goes out. The caller may drop the session right away or
    /// wait for [`crate::Event::Closed`].
    pub fn close(&mut self, _reason: CloseReason, _now: Instant, _out: &mut Output) {}

    /// Where the session is.
    pub const fn phase(&self) -> Phase {
        self.phase
    }

    /// How the peer says, or will say, who it is.
    pub fn authentication(&self) -> AuthMethod {
        self.config
            .methods()
            .first()
            .copied()
            .unwrap_or(AuthMethod::None)
    }

    /// The name that the peer gave; empty before it did.
    pub fn name(&self) -> &[u8] {
        &[]
    }

    /// The longest information field that the peer takes, octets.
    pub const fn peer_mru(&self) -> u16 {
        1500
    }
}
