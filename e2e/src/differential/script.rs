//! LAC scripts as a person writes them: one step a line, words apart by spaces.
//!
//! ```text
//! # What it shows: the first line.
//! secret                       from the LAC that has a secret; otherwise from the one without
//! tunnel | call | lcp | ipcp   the whole exchange as it should be
//! authentication pap|chap      what the subscriber insists on in LCP
//! login [NAME PASSWORD]        answers whatever authentication was agreed
//! mute                         answers no Configure-Request and no Terminate-Request from here on
//! send MESSAGE [CHANGE]...     one control message, see `control`
//! again                        the last control message once more, octet by octet
//! ppp PROTOCOL CODE [CHANGE]...  one PPP packet: TYPE:OCTETS adds an option, =OCTETS data, id=N,
//!                              id=theirs is that of the LNS's last Configure-Request, bits=LSOP
//!                              sets bits of the data header, session=N, tunnel=N
//! await WORDS                  waits for an answer that begins with these words
//! ... # NAME                   what the table calls this step, where the step is long
//! ```
//!
//! Octets are hexadecimal; `N*OCTETS` repeats them, `"text"` is the text.

use anyhow::{Context as _, Result, bail};
use lns_wire::ppp::lcp::{AuthenticationProtocol, algorithm};
use lns_wire::ppp::{Code, Protocol};

use super::control::Control;

/// One script.
#[derive(Clone, Debug)]
pub(super) struct Script {
    /// The file's name without its ending.
    pub(super) name: String,
    /// What it shows.
    pub(super) says: String,
    /// It comes from the LAC that shares a secret with the LNS.
    pub(super) secret: bool,
    /// What is done, in order.
    pub(super) steps: Vec<Step>,
}

/// One line of a script.
#[derive(Clone, Debug)]
pub(super) struct Step {
    /// As it was written.
    pub(super) text: String,
    /// What it does.
    pub(super) act: Act,
}

/// What a step does.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Act {
    /// Brings up a control connection.
    Tunnel,
    /// Brings up a call.
    Call,
    /// Opens LCP.
    Lcp,
    /// Logs in by what LCP has agreed.
    Login { name: String, password: String },
    /// Opens IPCP with whatever address the LNS gives.
    Ipcp,
    /// Insists on this authentication from here on.
    Authentication(AuthenticationProtocol),
    /// Answers no request from here on.
    Mute,
    /// Sends a control message.
    Send(Control),
    /// Sends the last control message again.
    Again,
    /// Sends a PPP frame.
    Ppp(Frame),
    /// Waits for an answer that begins so.
    Await(String),
}

/// A PPP frame in its data message.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Frame {
    pub(super) protocol: u16,
    /// `None`: the data is all that follows the protocol field.
    pub(super) code: Option<u8>,
    pub(super) id: Option<u8>,
    /// The id is that of the LNS's last Configure-Request.
    pub(super) answers: bool,
    pub(super) data: Vec<u8>,
    /// Letters of the bits that the data header has.
    pub(super) bits: String,
    pub(super) tunnel: Option<u16>,
    pub(super) session: Option<u16>,
}

impl Script {
    /// Reads a script.
    pub(super) fn parse(name: &str, text: &str) -> Result<Self> {
        let mut lines = text.lines();
        let says = lines.next().and_then(|line| line.strip_prefix("# "));
        let says = says.context("the first line is not `# what it shows`")?;
        let mut script = Self {
            name: name.into(),
            says: says.trim_end_matches('.').into(),
            secret: false,
            steps: Vec::new(),
        };
        for line in lines.map(str::trim) {
            match line {
                "" => {}
                "secret" => script.secret = true,
                _ if line.starts_with('#') => {}
                _ => script
                    .steps
                    .push(step(line).with_context(|| format!("{name}: `{line}`"))?),
            }
        }
        Ok(script)
    }
}

/// A line is called what stands behind ` # ` in it, or else what it is.
fn step(line: &str) -> Result<Step> {
    let (what, text) = line.split_once(" # ").unwrap_or((line, line));
    Ok(Step {
        text: text.into(),
        act: act(what)?,
    })
}

fn act(line: &str) -> Result<Act> {
    let words: Vec<_> = line.split_whitespace().collect();
    Ok(match words.as_slice() {
        ["tunnel"] => Act::Tunnel,
        ["call"] => Act::Call,
        ["lcp"] => Act::Lcp,
        ["ipcp"] => Act::Ipcp,
        ["mute"] => Act::Mute,
        ["again"] => Act::Again,
        ["login"] => Act::Login {
            name: "user@isp".into(),
            password: crate::manifest::PASSWORD.into(),
        },
        ["login", name, password] => Act::Login {
            name: (*name).into(),
            password: (*password).into(),
        },
        ["authentication", "pap"] => Act::Authentication(AuthenticationProtocol::Pap),
        ["authentication", "chap"] => {
            Act::Authentication(AuthenticationProtocol::Chap(algorithm::MD5))
        }
        ["send", message, changes @ ..] => Act::Send(Control::parse(message, changes)?),
        ["ppp", protocol, words @ ..] => Act::Ppp(frame(protocol, words)?),
        ["await", first, rest @ ..] => {
            let words = [&[*first], rest].concat();
            Act::Await(words.join(" "))
        }
        _ => bail!("no such step"),
    })
}

fn frame(protocol: &str, words: &[&str]) -> Result<Frame> {
    let known = PROTOCOLS
        .iter()
        .find(|(_, name)| name.eq_ignore_ascii_case(protocol));
    let mut frame = Frame {
        protocol: match known {
            Some((protocol, _)) => protocol.0,
            None => number(protocol)?,
        },
        ..Frame::default()
    };
    for word in words {
        if let Some(octets) = word.strip_prefix('=') {
            frame.data.extend(value(octets)?);
        } else if let Some((key, rest)) = word.split_once('=') {
            match key {
                "id" if rest == "theirs" => frame.answers = true,
                "id" => frame.id = Some(u8::try_from(number(rest)?)?),
                "bits" => frame.bits = rest.into(),
                "tunnel" => frame.tunnel = Some(number(rest)?),
                "session" => frame.session = Some(number(rest)?),
                _ => bail!("no such change: {key}"),
            }
        } else if let Some((kind, octets)) = word.split_once(':') {
            let octets = value(octets)?;
            let kind = u8::try_from(number(kind)?)?;
            lns_wire::ppp::emit_option(&mut frame.data, kind, &octets);
        } else {
            let named = CODES
                .iter()
                .find(|(_, name)| name.eq_ignore_ascii_case(word));
            frame.code = Some(match named {
                Some((code, _)) => code.0,
                None => u8::try_from(number(word)?)?,
            });
        }
    }
    Ok(frame)
}

/// A number, decimal or with `0x`.
pub(super) fn number(word: &str) -> Result<u16> {
    let number = match word.strip_prefix("0x") {
        Some(digits) => u16::from_str_radix(digits, 16),
        None => word.parse(),
    };
    number.with_context(|| format!("`{word}` is no number"))
}

/// Octets: hexadecimal, repeated with `N*`, or text in quotes.
pub(super) fn value(word: &str) -> Result<Vec<u8>> {
    if let Some(text) = word.strip_prefix('"') {
        return Ok(text.trim_end_matches('"').as_bytes().to_vec());
    }
    if let Some((times, octets)) = word.split_once('*') {
        return Ok(value(octets)?.repeat(usize::from(number(times)?)));
    }
    if !word.len().is_multiple_of(2) {
        bail!("`{word}` is half an octet too long");
    }
    let pair = |at| word.get(at..at + 2).unwrap_or_default();
    let octets = (0..word.len()).step_by(2).map(pair);
    octets
        .map(|pair| {
            u8::from_str_radix(pair, 16).with_context(|| format!("`{word}` is not hexadecimal"))
        })
        .collect()
}

/// The protocols that scripts and tables name.
pub(super) const PROTOCOLS: [(Protocol, &str); 7] = [
    (Protocol::LCP, "LCP"),
    (Protocol::PAP, "PAP"),
    (Protocol::CHAP, "CHAP"),
    (Protocol::IPCP, "IPCP"),
    (Protocol::IPV6CP, "IPv6CP"),
    (Protocol::CCP, "CCP"),
    (Protocol::IPV4, "IPv4"),
];

/// The codes of LCP and the NCPs.
pub(super) const CODES: [(Code, &str); 13] = [
    (Code::CONFIGURE_REQUEST, "Configure-Request"),
    (Code::CONFIGURE_ACK, "Configure-Ack"),
    (Code::CONFIGURE_NAK, "Configure-Nak"),
    (Code::CONFIGURE_REJECT, "Configure-Reject"),
    (Code::TERMINATE_REQUEST, "Terminate-Request"),
    (Code::TERMINATE_ACK, "Terminate-Ack"),
    (Code::CODE_REJECT, "Code-Reject"),
    (Code::PROTOCOL_REJECT, "Protocol-Reject"),
    (Code::ECHO_REQUEST, "Echo-Request"),
    (Code::ECHO_REPLY, "Echo-Reply"),
    (Code::DISCARD_REQUEST, "Discard-Request"),
    (Code::IDENTIFICATION, "Identification"),
    (Code::TIME_REMAINING, "Time-Remaining"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_read_line_by_line() {
        let script = Script::parse(
            "example",
            "# A LAC says hello.\nsecret\n\n# brings it up\ntunnel\nsend HELLO # says hello\nawait StopCCN 2\n",
        )
        .unwrap();
        assert_eq!(script.says, "A LAC says hello");
        assert!(script.secret);
        assert_eq!(script.steps.len(), 3);
        assert_eq!(script.steps[2].act, Act::Await("StopCCN 2".into()));
        assert_eq!(script.steps[1].text, "says hello");
    }

    #[test]
    fn a_word_that_means_nothing_is_an_error_with_its_line() {
        for line in ["dance", "send SCCRX", "send HELLO +host=41", "ppp lcp 300"] {
            let error = Script::parse("x", &format!("# X.\n{line}\n")).unwrap_err();
            assert!(format!("{error:#}").contains(line), "{error:#}");
        }
    }

    #[test]
    fn octets_are_hexadecimal_repeated_or_text() {
        assert_eq!(value("00ff").unwrap(), [0, 255]);
        assert_eq!(value("3*41").unwrap(), *b"AAA");
        assert_eq!(value("\"lac\"").unwrap(), *b"lac");
        assert!(value("0").is_err() && value("zz").is_err());
    }

    #[test]
    fn a_frame_has_options_and_bits() {
        let Act::Ppp(frame) = act("ppp lcp configure-request 1:05d4 bits=LS id=7").unwrap() else {
            panic!("no frame");
        };
        assert_eq!((frame.code, frame.id), (Some(1), Some(7)));
        assert_eq!(frame.data, [1, 4, 5, 0xd4]);
        assert_eq!(frame.bits, "LS");
    }
}
