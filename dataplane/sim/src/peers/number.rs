//! Numbers that wrap (RFC 2661, 5.8), by counting on a circle.

/// Steps on a whole turn.
const TURN: u32 = 0x1_0000;

/// How many steps forward lead from `from` to `to`.
pub(crate) fn steps(from: u16, to: u16) -> u32 {
    (u32::from(to) + TURN - u32::from(from)) % TURN
}

/// Whether `number` is one of the 32,767 before `other`.
pub(crate) fn is_older(number: u16, other: u16) -> bool {
    (1..TURN / 2).contains(&steps(number, other))
}

/// The number `count` steps after `from`.
pub(crate) fn after(from: u16, count: usize) -> u16 {
    let count = u32::try_from(count % 0x1_0000).expect("less than a turn");
    u16::try_from((u32::from(from) + count) % TURN).expect("less than a turn")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_counted_over_both_wraps() {
        assert_eq!(steps(0xffff, 1), 2);
        assert_eq!(steps(1, 0xffff), 0xfffe);
        assert!(is_older(0xffff, 0) && is_older(0x7fff, 0x8000) && is_older(1, 0x8000));
        assert!(!is_older(0, 0x8000) && !is_older(0, 0xffff) && !is_older(5, 5));
        assert_eq!(after(0xfffe, 3), 1);
    }
}
