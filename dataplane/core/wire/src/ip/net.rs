//! An IPv4 prefix (RFC 4632, 3.1).

use core::fmt;
use core::net::Ipv4Addr;
use core::str::FromStr;

/// An IPv4 prefix: an address whose host bits are zero, and a length.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Ipv4Net {
    first: Ipv4Addr,
    length: u8,
}

/// Why something is no IPv4 prefix.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NetError {
    /// Not `address/length`.
    Form,
    /// The length is above 32.
    Length,
    /// The address has bits behind the length.
    HostBits,
}

impl fmt::Display for NetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Form => "not of the form address/length",
            Self::Length => "the length is above 32",
            Self::HostBits => "the address has bits behind the length",
        })
    }
}

impl core::error::Error for NetError {}

impl Ipv4Net {
    /// The prefix of `length` bits that begins at `first`.
    ///
    /// # Errors
    /// [`NetError::Length`] or [`NetError::HostBits`].
    pub const fn new(first: Ipv4Addr, length: u8) -> Result<Self, NetError> {
        if length > 32 {
            return Err(NetError::Length);
        }
        if first.to_bits() & !mask(length) != 0 {
            return Err(NetError::HostBits);
        }
        Ok(Self { first, length })
    }

    /// Its lowest address.
    pub const fn first(self) -> Ipv4Addr {
        self.first
    }

    /// Its length in bits.
    pub const fn length(self) -> u8 {
        self.length
    }

    /// How many addresses it holds, the lowest and the highest included.
    pub const fn addresses(self) -> u64 {
        1_u64 << 32_u8.saturating_sub(self.length)
    }

    /// Whether `address` is in it.
    pub const fn contains(self, address: Ipv4Addr) -> bool {
        address.to_bits() & mask(self.length) == self.first.to_bits()
    }

    /// How far `address` is behind the lowest one, if it is in the prefix.
    pub const fn offset(self, address: Ipv4Addr) -> Option<u32> {
        if self.contains(address) {
            Some(address.to_bits() & !mask(self.length))
        } else {
            None
        }
    }
}

impl fmt::Display for Ipv4Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.length)
    }
}

impl FromStr for Ipv4Net {
    type Err = NetError;

    fn from_str(text: &str) -> Result<Self, NetError> {
        let (first, length) = text.split_once('/').ok_or(NetError::Form)?;
        let first = first.parse().map_err(|_| NetError::Form)?;
        let length = length.parse().map_err(|_| NetError::Form)?;
        Self::new(first, length)
    }
}

const fn mask(length: u8) -> u32 {
    match length {
        0 => 0,
        1..=31 => !(u32::MAX >> length),
        _ => u32::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_holds_its_first_and_last_address_and_no_neighbour() {
        let net: Ipv4Net = "100.64.0.0/10".parse().unwrap();
        assert!(net.contains(Ipv4Addr::new(100, 64, 0, 0)));
        assert!(net.contains(Ipv4Addr::new(100, 127, 255, 255)));
        assert!(!net.contains(Ipv4Addr::new(100, 128, 0, 0)));
        assert!(!net.contains(Ipv4Addr::new(100, 63, 255, 255)));
        assert_eq!(net.offset(Ipv4Addr::new(100, 64, 1, 2)), Some(258));
        assert_eq!(net.addresses(), 1 << 22);
    }

    #[test]
    fn the_whole_space_and_a_single_address_are_prefixes() {
        let all: Ipv4Net = "0.0.0.0/0".parse().unwrap();
        assert!(all.contains(Ipv4Addr::BROADCAST));
        assert_eq!(all.addresses(), 1 << 32);
        let one: Ipv4Net = "192.0.2.1/32".parse().unwrap();
        assert_eq!(
            (one.addresses(), one.offset(Ipv4Addr::new(192, 0, 2, 1))),
            (1, Some(0))
        );
        assert_eq!(one.offset(Ipv4Addr::new(192, 0, 2, 2)), None);
    }

    #[test]
    fn what_is_no_prefix_is_refused_with_its_reason() {
        assert_eq!("10.0.0.1/8".parse::<Ipv4Net>(), Err(NetError::HostBits));
        assert_eq!("10.0.0.0/33".parse::<Ipv4Net>(), Err(NetError::Length));
        assert_eq!("10.0.0.0".parse::<Ipv4Net>(), Err(NetError::Form));
        assert_eq!("10.0.0/8".parse::<Ipv4Net>(), Err(NetError::Form));
        assert_eq!("10.0.0.0/-1".parse::<Ipv4Net>(), Err(NetError::Form));
    }
}
