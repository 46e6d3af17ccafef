//! A secret that cannot be printed, is compared in constant time and is wiped when dropped.

use alloc::boxed::Box;

use subtle::ConstantTimeEq as _;
use zeroize::Zeroize as _;

/// A shared secret or a password.
///
/// It has no `Display` and no serialisation; its `Debug` shows nothing of it. The octets are wiped
/// on drop.
#[derive(Clone)]
pub struct Secret(Box<[u8]>);

impl Secret {
    /// Takes the octets over. No copy of them is left behind by this call.
    pub fn new(octets: impl Into<Box<[u8]>>) -> Self {
        Self(octets.into())
    }

    /// The octets themselves, for a digest.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Whether `other` is the same secret: lengths first, then contents in constant time.
    pub fn is(&self, other: &[u8]) -> bool {
        self.0.len() == other.len() && bool::from(self.0.ct_eq(other))
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.is(&other.0)
    }
}

impl Eq for Secret {}

impl core::fmt::Debug for Secret {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_printed() {
        let secret = Secret::new(*b"canary");
        assert_eq!(alloc::format!("{secret:?}"), "Secret(..)");
        assert!(secret.is(b"canary"));
        assert!(!secret.is(b"canarY") && !secret.is(b"canary\0") && !secret.is(b""));
    }
}
