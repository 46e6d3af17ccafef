//! `*` and `?` on host names, ASCII case ignored.

/// Whether `text` matches `pattern`: `*` stands for any octets, `?` for one.
///
/// # Cost
/// At most `pattern.len() * text.len()` steps and no recursion: both are bounded by an AVP's length.
pub(crate) fn matches(pattern: &str, text: &[u8]) -> bool {
    let pattern = pattern.as_bytes();
    let (mut at_pattern, mut at_text) = (0_usize, 0_usize);
    let mut star: Option<(usize, usize)> = None;
    while let Some(&octet) = text.get(at_text) {
        match pattern.get(at_pattern) {
            Some(b'*') => {
                star = Some((at_pattern, at_text));
                at_pattern = at_pattern.saturating_add(1);
            }
            Some(&wanted) if wanted == b'?' || wanted.eq_ignore_ascii_case(&octet) => {
                at_pattern = at_pattern.saturating_add(1);
                at_text = at_text.saturating_add(1);
            }
            _ => {
                // Back to the last star, which takes one octet more than before.
                let Some((star_at, taken)) = star else {
                    return false;
                };
                at_pattern = star_at.saturating_add(1);
                at_text = taken.saturating_add(1);
                star = Some((star_at, at_text));
            }
        }
    }
    pattern.iter().skip(at_pattern).all(|&rest| rest == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_as_in_a_shell() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("*", "lac1", true),
            ("lac*", "LAC-7.example", true),
            ("lac?", "lac7", true),
            ("lac?", "lac", false),
            ("lac", "lac1", false),
            ("*.isp.example", "bras1.isp.example", true),
            ("*a*b*c", "xxaxbxbxc", true),
            ("*a*b*c", "xxaxbxbx", false),
            ("", "", true),
            ("", "x", false),
        ] {
            assert_eq!(
                matches(pattern, text.as_bytes()),
                expected,
                "{pattern} on {text}"
            );
        }
    }

    #[test]
    fn many_stars_cost_no_more_than_the_product_of_lengths() {
        let text = [b'a'; 1017];
        assert!(!matches("*a*a*a*a*a*a*a*a*a*a*b", &text));
    }
}
