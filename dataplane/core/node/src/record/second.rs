//! What the second form of records leaves out: what a session's record would say several times is said once.
//!
//! Between the date and the rest there is a number whose bits say which parts were left out, in the order of
//! [`RULES`]: each can be made again from others that are there, or were made again before it. Octets are as in the
//! first form otherwise.

use core::net::Ipv4Addr;

use super::Unreadable;
use super::form::{Form, HeldForm, SessionForm, UpForm};

/// One part that may be said by others.
struct Rule {
    /// What it would be by the others; `None`: they do not say it.
    implied: fn(&UpForm) -> Option<Part>,
    /// Takes it out of the record, and leaves there what says nothing.
    take: fn(&mut UpForm) -> Option<Part>,
    /// Puts it in.
    put: fn(&mut UpForm, Part),
}

/// What a part may be.
#[derive(Debug, Eq, PartialEq)]
enum Part {
    Octets(Vec<u8>),
    Texts(Vec<String>),
    Address(Ipv4Addr),
    Held(HeldForm),
}

/// In the order of their bits. More of them, or others, are another form.
const RULES: [Rule; 7] = [
    Rule {
        implied: user,
        take: |up| up.let_in_as.take().map(Part::Octets),
        put: |up, part| up.let_in_as = octets(part),
    },
    Rule {
        implied: user,
        take: |up| {
            let ppp = up.ppp.as_mut()?;
            Some(Part::Octets(core::mem::take(&mut ppp.name)))
        },
        put: |up, part| {
            if let Some(ppp) = &mut up.ppp {
                ppp.name = octets(part).unwrap_or_default();
            }
        },
    },
    Rule {
        implied: user,
        take: |up| up.granted.as_mut()?.user_name.take().map(Part::Octets),
        put: |up, part| {
            if let Some(granted) = &mut up.granted {
                granted.user_name = octets(part);
            }
        },
    },
    Rule {
        implied: |up| {
            let given = up.granted.as_ref().and_then(|it| it.user_name.clone());
            given.map(Part::Octets).or_else(|| user(up))
        },
        take: |up| {
            let told = up.told.as_mut()?;
            Some(Part::Octets(core::mem::take(&mut told.user)))
        },
        put: |up, part| {
            if let Some(told) = &mut up.told {
                told.user = octets(part).unwrap_or_default();
            }
        },
    },
    Rule {
        implied: |up| Some(Part::Address(up.ppp.as_ref()?.grant?)),
        take: |up| up.ppp.as_mut()?.address.take().map(Part::Address),
        put: |up, part| {
            if let (Some(ppp), Part::Address(address)) = (&mut up.ppp, part) {
                ppp.address = Some(address);
            }
        },
    },
    Rule {
        implied: |up| {
            let ppp = up.ppp.as_ref()?;
            Some(Part::Held(HeldForm {
                address: ppp.grant?,
                pool: up.granted.as_ref().and_then(|it| it.pool.clone()),
                local: Some(ppp.local),
            }))
        },
        take: |up| up.address.take().map(Part::Held),
        put: |up, part| {
            if let Part::Held(held) = part {
                up.address = Some(held);
            }
        },
    },
    Rule {
        implied: |up| Some(Part::Texts(up.granted.as_ref()?.filter_ids.clone())),
        take: |up| Some(Part::Texts(core::mem::take(&mut up.policies.names))),
        put: |up, part| {
            if let Part::Texts(names) = part {
                up.policies.names = names;
            }
        },
    },
];

fn user(up: &UpForm) -> Option<Part> {
    up.user.clone().map(Part::Octets)
}

fn octets(part: Part) -> Option<Vec<u8>> {
    match part {
        Part::Octets(octets) => Some(octets),
        Part::Texts(_) | Part::Address(_) | Part::Held(_) => None,
    }
}

fn up(form: &mut Form) -> Option<&mut UpForm> {
    let Form::Session(session) = form else {
        return None;
    };
    let SessionForm { up, .. } = &mut **session;
    up.as_deref_mut()
}

/// Takes out what others say; which parts that were.
pub(super) fn leave_out(form: &mut Form) -> u16 {
    let Some(up) = up(form) else {
        return 0;
    };
    let (mut left_out, mut bit) = (0, 1_u16);
    for rule in &RULES {
        let implied = (rule.implied)(up);
        match (rule.take)(up) {
            Some(part) if implied.as_ref() == Some(&part) => left_out |= bit,
            Some(part) => (rule.put)(up, part),
            None => {}
        }
        bit = bit.wrapping_shl(1);
    }
    left_out
}

/// Makes again what was left out.
///
/// # Errors
/// Something is said to be left out that the others do not say.
pub(super) fn put_back(form: &mut Form, left_out: u16) -> Result<(), Unreadable> {
    let mut rest = left_out;
    let Some(up) = up(form) else {
        return if rest == 0 {
            Ok(())
        } else {
            Err(Unreadable::Damaged)
        };
    };
    for rule in &RULES {
        if rest & 1 == 1 {
            let implied = (rule.implied)(up).ok_or(Unreadable::Damaged)?;
            (rule.put)(up, implied);
        }
        rest = rest.wrapping_shr(1);
    }
    if rest == 0 {
        Ok(())
    } else {
        Err(Unreadable::Damaged)
    }
}
