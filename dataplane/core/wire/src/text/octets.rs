//! Octets of a peer as text that can go on a terminal and into a log line.

use core::fmt;

use super::limits;

/// A peer's text between quotes: control characters, quotes and what is no UTF-8 are escaped, and
/// what is too long is cut, with `...` behind the quote.
pub(super) struct Quoted<'a>(pub(super) &'a [u8]);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write as _;
        f.write_char('"')?;
        let mut left = limits::TEXT;
        for chunk in self.0.utf8_chunks() {
            for char in chunk.valid().chars() {
                let Some(less) = left.checked_sub(1) else {
                    return f.write_str("\"...");
                };
                left = less;
                match char {
                    '\'' => f.write_char('\'')?,
                    _ => write!(f, "{}", char.escape_debug())?,
                }
            }
            for octet in chunk.invalid() {
                let Some(less) = left.checked_sub(1) else {
                    return f.write_str("\"...");
                };
                left = less;
                write!(f, "\\x{octet:02x}")?;
            }
        }
        f.write_char('"')
    }
}

/// Octets as one hexadecimal number, cut when they are too many.
pub(super) struct Hex<'a>(pub(super) &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("0x")?;
        for octet in self.0.iter().take(limits::HEX) {
            write!(f, "{octet:02x}")?;
        }
        if self.0.len() > limits::HEX {
            f.write_str("...")?;
        }
        Ok(())
    }
}

/// The named bits of a flags field, joined by `+`; what has no name as a number.
pub(super) struct Bits {
    pub(super) value: u32,
    /// The names of bits 0 and 1.
    pub(super) names: [&'static str; 2],
}

impl fmt::Display for Bits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, second] = self.names;
        let known = match self.value & 3 {
            0 => None,
            1 => Some((first, "", "")),
            2 => Some((second, "", "")),
            _ => Some((first, "+", second)),
        };
        match (known, self.value & !3) {
            (None, 0) => f.write_str("none"),
            (None, others) => write!(f, "{others:#x}"),
            (Some((a, plus, b)), 0) => write!(f, "{a}{plus}{b}"),
            (Some((a, plus, b)), others) => write!(f, "{a}{plus}{b}+{others:#x}"),
        }
    }
}

/// Writes items one after the other: something before the first, commas before the others.
pub(super) struct Items<'f, 'g> {
    f: &'f mut fmt::Formatter<'g>,
    before: &'static str,
    left: usize,
}

impl<'f, 'g> Items<'f, 'g> {
    pub(super) fn new(f: &'f mut fmt::Formatter<'g>, first: &'static str) -> Self {
        Self {
            f,
            before: first,
            left: limits::ITEMS,
        }
    }

    pub(super) fn item(&mut self, item: impl fmt::Display) -> fmt::Result {
        let before = core::mem::replace(&mut self.before, ", ");
        write!(self.f, "{before}{item}")
    }

    /// Counts an item of a list that a peer made, and says with `...` when there are too many.
    ///
    /// # Errors
    /// Those of the formatter.
    pub(super) fn has_room(&mut self) -> Result<bool, fmt::Error> {
        if let Some(less) = self.left.checked_sub(1) {
            self.left = less;
            return Ok(true);
        }
        self.item("...")?;
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn text_of_a_peer_is_quoted_and_escaped() {
        for (octets, text) in [
            (&b""[..], r#""""#),
            (b"alice", r#""alice""#),
            ("Z\u{fc}rich".as_bytes(), "\"Z\u{fc}rich\""),
            (b"o'neil \"x\" \\", r#""o'neil \"x\" \\""#),
            (b"a\r\n\0\x1b[2J", r#""a\r\n\0\u{1b}[2J""#),
            (b"\xff\xc3", r#""\xff\xc3""#),
            ("\u{202e}".as_bytes(), r#""\u{202e}""#),
        ] {
            assert_eq!(Quoted(octets).to_string(), text);
        }
    }

    #[test]
    fn text_of_a_peer_is_cut_at_64_characters() {
        let exact = [b'x'; 64];
        assert_eq!(Quoted(&exact).to_string().len(), 66);
        let long = [b'x'; 65];
        let text = Quoted(&long).to_string();
        assert!(text.ends_with("x\"...") && text.len() == 69, "{text}");
        let wild = [0xff; 1000];
        let text = Quoted(&wild).to_string();
        assert!(text.ends_with("\\xff\"...") && text.len() == 64 * 4 + 5);
    }

    #[test]
    fn octets_are_cut_at_16() {
        assert_eq!(Hex(&[1, 0xab]).to_string(), "0x01ab");
        let text = Hex(&[7; 17]).to_string();
        assert!(text.ends_with("07...") && text.len() == 2 + 32 + 3);
    }

    #[test]
    fn flags_have_names_and_numbers() {
        let bits = |value| {
            let names = ["sync", "async"];
            Bits { value, names }.to_string()
        };
        assert_eq!(bits(0), "none");
        assert_eq!(bits(1), "sync");
        assert_eq!(bits(2), "async");
        assert_eq!(bits(3), "sync+async");
        assert_eq!(bits(7), "sync+async+0x4");
        assert_eq!(bits(4), "0x4");
    }
}
