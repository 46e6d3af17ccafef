//! Hidden AVPs on the LAC's side (RFC 2661, 4.3).

use lns_crypto::{Rng, Secret, l2tp};
use lns_wire::l2tp::{Hide, Unhide, UnhideError, kind};

/// Reveals what the node has hidden.
pub(crate) struct Revealer<'a>(pub(crate) Option<&'a Secret>);

impl Unhide for Revealer<'_> {
    fn unhide(
        &mut self,
        kind: u16,
        vector: &[u8],
        octets: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), UnhideError> {
        let secret = self.0.ok_or(UnhideError::NoSecret)?;
        l2tp::unhide(secret, kind, vector, octets, out).map_err(|_| UnhideError::Length)
    }
}

/// Hides all that may be hidden.
pub(crate) struct Concealer<'a> {
    pub(crate) secret: &'a Secret,
    pub(crate) rng: &'a mut Rng,
}

impl Hide for Concealer<'_> {
    fn is_hidden(&self, kind: u16) -> bool {
        kind::may_be_hidden(kind)
    }

    fn vector(&mut self) -> [u8; 16] {
        self.rng.array()
    }

    fn hide(&mut self, kind: u16, vector: &[u8], value: &[u8], out: &mut Vec<u8>) {
        let padding: [u8; 3] = self.rng.array();
        l2tp::hide(self.secret, kind, vector, value, &padding, out);
    }
}
