//! Corpus files: `corpus/<family>/<id>.hex`, one input each.
//!
//! A line is a comment from `#` on. Two kinds of comments are read:
//!
//! - `# expect: accept` or `# expect: drop LABEL`: what must become of the input. Required. LABEL is the
//!   metric's.
//! - `# then: STATE`: what must be there afterwards. For the families of machines, optional.
//!
//! The first lines should say the source (an advisory, a commit, an RFC section) and the class of the
//! fault. All else is the input: pairs of hexadecimal digits; `"text"`; `41*200`, the octet 41 two
//! hundred times; and `( ... )`, which puts the number of octets within before them, in two octets.
//!
//! A family that drives a machine reads steps; the module of its harness lists them.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Outcome;

/// One file.
#[derive(Clone, Debug)]
pub struct Case {
    /// Where it is.
    pub path: PathBuf,
    /// The input.
    pub octets: Vec<u8>,
    /// What must become of it: `accept` or `drop LABEL`.
    pub expect: String,
    /// What must be there afterwards.
    pub then: Option<String>,
}

impl Case {
    /// Whether `outcome` is what the file expects.
    ///
    /// # Errors
    /// What it is instead.
    pub fn check(&self, outcome: &Outcome) -> Result<(), String> {
        let verdict = match outcome.verdict {
            Ok(()) => "accept".to_owned(),
            Err(label) => format!("drop {label}"),
        };
        let then = self.then.as_ref().unwrap_or(&outcome.then);
        if verdict == self.expect && *then == outcome.then {
            Ok(())
        } else {
            Err(format!(
                "{}: {verdict}, then {:?}; expected {}, then {then:?}",
                self.path.display(),
                outcome.then,
                self.expect
            ))
        }
    }
}

/// The cases of a family, by name. Panics when a file cannot be read: the file is at fault.
pub fn load(family: &str) -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(family);
    let Ok(entries) = fs::read_dir(&folder) else {
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths.into_iter().map(read).collect()
}

fn read(path: PathBuf) -> Case {
    let text = fs::read_to_string(&path).expect("a corpus file is text");
    match parse(&text) {
        Ok((octets, expect, then)) => Case {
            path,
            octets,
            expect,
            then,
        },
        Err(fault) => panic!("{}: {fault}", path.display()),
    }
}

/// The input of a corpus file, what it expects, and what must be there afterwards.
///
/// # Errors
/// What is wrong with the text, with the number of the line.
pub fn parse(text: &str) -> Result<(Vec<u8>, String, Option<String>), String> {
    let (mut octets, mut open) = (Vec::new(), Vec::new());
    let (mut expect, mut then) = (None, None);
    for (line, number) in text.lines().zip(1_u32..) {
        let fault = |what: &str| format!("line {number}: {what}");
        if let Some(comment) = line.trim().strip_prefix('#') {
            let comment = comment.trim();
            if let Some(value) = comment.strip_prefix("expect:") {
                expect = Some(value.trim().to_owned());
            } else if let Some(value) = comment.strip_prefix("then:") {
                then = Some(value.trim().to_owned());
            }
            continue;
        }
        let mut rest = line.trim();
        while !rest.is_empty() && !rest.starts_with('#') {
            rest = token(rest, &mut octets, &mut open)
                .map_err(fault)?
                .trim_start();
        }
    }
    if !open.is_empty() {
        return Err("a ( is not closed".to_owned());
    }
    let expect = expect.ok_or("no \"# expect:\"")?;
    Ok((octets, expect, then))
}

/// Takes one token off `text`, and gives what follows it.
fn token<'t>(
    text: &'t str,
    octets: &mut Vec<u8>,
    open: &mut Vec<usize>,
) -> Result<&'t str, &'static str> {
    if let Some(rest) = text.strip_prefix('(') {
        open.push(octets.len());
        octets.extend([0, 0]);
        return Ok(rest);
    }
    if let Some(rest) = text.strip_prefix(')') {
        let start = open.pop().ok_or("a ) without its (")?;
        let len = u16::try_from(octets.len() - start - 2).map_err(|_| "too much within ( )")?;
        octets[start..start + 2].copy_from_slice(&len.to_be_bytes());
        return Ok(rest);
    }
    if let Some(rest) = text.strip_prefix('"') {
        let (inner, rest) = rest.split_once('"').ok_or("a \" is not closed")?;
        octets.extend(inner.as_bytes());
        return Ok(rest);
    }
    let (digits, rest) = text.split_at_checked(2).ok_or("half an octet")?;
    let octet = u8::from_str_radix(digits, 16).map_err(|_| "not hexadecimal")?;
    let Some(rest) = rest.strip_prefix('*') else {
        octets.push(octet);
        return Ok(rest);
    };
    let end = rest
        .find(|digit: char| !digit.is_ascii_digit())
        .unwrap_or(rest.len());
    let (count, rest) = rest.split_at(end);
    let count: u16 = count.parse().map_err(|_| "no count after *")?;
    octets.extend(core::iter::repeat_n(octet, usize::from(count)));
    Ok(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_digits_text_repetitions_and_lengths() {
        let text = "# a comment\n# expect: drop x\n# then: y\nc8 02 (\"ab\"00*3 (ff)) # and\n0102";
        let (octets, expect, then) = parse(text).unwrap();
        let wanted = b"\xc8\x02\x00\x08ab\x00\x00\x00\x00\x01\xff\x01\x02";
        assert_eq!(octets, wanted);
        assert_eq!(expect, "drop x");
        assert_eq!(then.as_deref(), Some("y"));
    }

    #[test]
    fn a_file_with_a_fault_is_refused_with_the_line() {
        for (text, fault) in [
            ("# expect: accept\n0", "line 2: half an octet"),
            ("# expect: accept\n0g", "line 2: not hexadecimal"),
            ("# expect: accept\n00)", "line 2: a ) without its ("),
            ("# expect: accept\n(00", "a ( is not closed"),
            ("# expect: accept\n\"ab", "line 2: a \" is not closed"),
            ("# expect: accept\n00*x", "line 2: no count after *"),
            ("00", "no \"# expect:\""),
        ] {
            assert_eq!(parse(text).unwrap_err(), fault);
        }
    }
}
