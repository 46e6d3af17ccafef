//! What a rule matches.

use super::*;

#[test]
fn a_prefix_holds_the_addresses_of_its_family_that_begin_with_it() {
    let (four, _) = ends(Family::IPv4);
    let (six, _) = ends(Family::IPv6);
    assert!(prefix("100.64.0.0/10").contains(Family::IPv4, four));
    assert!(prefix("100.64.0.2/32").contains(Family::IPv4, four));
    assert!(!prefix("100.64.0.3/32").contains(Family::IPv4, four));
    assert!(prefix("0.0.0.0/0").contains(Family::IPv4, four));
    assert!(!prefix("::/0").contains(Family::IPv4, four));
    assert!(!prefix("0.0.0.0/0").contains(Family::IPv6, six));
    assert!(prefix("::/0").contains(Family::IPv6, six));
    assert!(prefix("2001:db8::1:0:0:0:2/128").contains(Family::IPv6, six));
    assert!(!prefix("2001:db9::/32").contains(Family::IPv6, six));
}
