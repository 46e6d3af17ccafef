//! Values that are written as texts: ranges of numbers, protocols, octets.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Numbers from `first` to `last`, as `"25"` or `"8000-8100"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span<T> {
    /// The least.
    pub first: T,
    /// The greatest; not below the first.
    pub last: T,
}

impl<T: FromStr + PartialOrd + Copy> FromStr for Span<T> {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let number = |text: &str| text.parse::<T>().map_err(|_| Malformed("a range"));
        let (first, last) = match text.split_once('-') {
            Some((first, last)) => (number(first)?, number(last)?),
            None => (number(text)?, number(text)?),
        };
        if last < first {
            return Err(Malformed("a range"));
        }
        Ok(Self { first, last })
    }
}

impl<T: fmt::Display + PartialEq> fmt::Display for Span<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            return self.first.fmt(f);
        }
        write!(f, "{}-{}", self.first, self.last)
    }
}

impl<T: fmt::Display + PartialEq> Serialize for Span<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, T: FromStr + PartialOrd + Copy> Deserialize<'de> for Span<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parsed(deserializer)
    }
}

/// The number of an upper protocol, written by its name where it has one here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protocol(pub u8);

impl Protocol {
    /// TCP (RFC 9293).
    pub const TCP: Self = Self(6);
    /// UDP (RFC 768).
    pub const UDP: Self = Self(17);
    /// ICMP of IPv4 (RFC 792).
    pub const ICMP: Self = Self(1);
    /// ICMP of IPv6 (RFC 4443).
    pub const ICMPV6: Self = Self(58);

    /// Those that have a name here. `crate::format::Protocol` has the same.
    pub const NAMED: [(&str, Self); 11] = [
        ("TCP", Self::TCP),
        ("UDP", Self::UDP),
        ("ICMP", Self::ICMP),
        ("ICMPv6", Self::ICMPV6),
        ("ESP", Self(50)),
        ("AH", Self(51)),
        ("GRE", Self(47)),
        ("IPIP", Self(4)),
        ("SCTP", Self(132)),
        ("UDPLite", Self(136)),
        ("DCCP", Self(33)),
    ];
}

impl FromStr for Protocol {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let named = Self::NAMED.into_iter().find(|(name, _)| *name == text);
        match named {
            Some((_, protocol)) => Ok(protocol),
            None => text.parse().map(Self).map_err(|_| Malformed("a protocol")),
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = Self::NAMED.into_iter().find(|(_, one)| one == self);
        match named {
            Some((name, _)) => f.write_str(name),
            None => self.0.fmt(f),
        }
    }
}

impl Serialize for Protocol {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Protocol {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parsed(deserializer)
    }
}

/// Octets, two hexadecimal digits each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hex(pub Box<[u8]>);

impl FromStr for Hex {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let pair = |pair: &[u8]| {
            let digits = core::str::from_utf8(pair)
                .ok()
                .filter(|_| pair.len() == 2)?;
            let are_digits = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
            u8::from_str_radix(digits, 16).ok().filter(|_| are_digits)
        };
        let octets: Option<Box<[u8]>> = text.as_bytes().chunks(2).map(pair).collect();
        octets.map(Self).ok_or(Malformed("hexadecimal octets"))
    }
}

impl fmt::Display for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

impl Serialize for Hex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parsed(deserializer)
    }
}

/// A text that is not what it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(&'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "is not {}", self.0)
    }
}

impl core::error::Error for Malformed {}

fn parsed<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err = Malformed>,
{
    let text = String::deserialize(deserializer)?;
    text.parse()
        .map_err(|fault| de::Error::custom(format_args!("{text:?} {fault}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_one_number_or_two_in_order() {
        let span = |text: &str| text.parse::<Span<u16>>();
        let of = |first, last| Ok(Span { first, last });
        assert_eq!(span("25"), of(25, 25));
        assert_eq!(span("8000-8100"), of(8000, 8100));
        assert_eq!(span("7-7"), of(7, 7));
        for wrong in ["", "-", "1-", "-1", "90-80", "65536", "1-2-3", "a", "1 - 2"] {
            assert!(span(wrong).is_err(), "{wrong:?}");
        }
        let written = ["25", "8000-8100"].map(|text| span(text).unwrap().to_string());
        assert_eq!(written, ["25", "8000-8100"]);
    }

    #[test]
    fn a_protocol_is_written_by_its_name_if_it_has_one() {
        let protocol = |text: &str| text.parse::<Protocol>();
        assert_eq!(protocol("ICMPv6"), Ok(Protocol(58)));
        assert_eq!(protocol("89"), Ok(Protocol(89)));
        assert!(protocol("256").is_err() && protocol("tcp").is_err());
        for number in 0..=u8::MAX {
            let written = Protocol(number).to_string();
            assert_eq!(protocol(&written), Ok(Protocol(number)), "{written}");
        }
    }

    #[test]
    fn octets_are_two_digits_each() {
        let hex = |text: &str| text.parse::<Hex>();
        assert_eq!(hex("0aFF"), Ok(Hex([0x0a, 0xff].into())));
        assert_eq!(hex("0aFF").unwrap().to_string(), "0aff");
        for wrong in ["f", "0x", "+1", "fff", "é"] {
            assert!(hex(wrong).is_err(), "{wrong:?}");
        }
    }
}
