//! The packets that RFC 2865 and RFC 5997 print, and what a packet of another hand may look like.

use super::*;

/// `xyzzy5461`, the secret of all examples.
fn secret() -> Secret {
    Secret::new(*b"xyzzy5461")
}

fn octets(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let text = |pair: &[u8]| u8::from_str_radix(core::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(text).collect()
}

fn authenticator(packet: &[u8]) -> Authenticator {
    packet[PLACE].try_into().unwrap()
}

/// RFC 2865, 7.1: nemo logs in by PAP.
const TELNET_REQUEST: &str = "
    01 00 00 38 0f 40 3f 94 73 97 80 57 bd 83 d5 cb 98 f4 22 7a 01 06 6e 65 6d 6f 02 12 0d be 70 8d
    93 d4 13 ce 31 96 e4 3f 78 2a 0a ee 04 06 c0 a8 01 10 05 06 00 00 00 03";
const TELNET_ACCEPT: &str = "
    02 00 00 26 86 fe 22 0e 76 24 ba 2a 10 05 f6 bf 9b 55 e0 b2 06 06 00 00 00 01 0f 06 00 00 00 00
    0e 06 c0 a8 01 03";
/// RFC 2865, 7.2: flopsy logs in by CHAP.
const CHAP_REQUEST: &str = "
    01 01 00 47 2a ee 86 f0 8d 0d 55 96 9c a5 97 8e 0d 33 67 a2 01 08 66 6c 6f 70 73 79 03 13 16 e9
    75 57 c3 16 18 58 95 f2 93 ff 63 44 07 72 75 04 06 c0 a8 01 10 05 06 00 00 00 14 06 06 00 00 00
    02 07 06 00 00 00 01";
const CHAP_ACCEPT: &str = "
    02 01 00 38 15 ef bc 7d ab 26 cf a3 dc 34 d9 c0 3c 86 01 a4 06 06 00 00 00 02 07 06 00 00 00 01
    08 06 ff ff ff fe 0a 06 00 00 00 02 0d 06 00 00 00 01 0c 06 00 00 05 dc";
/// RFC 5997, 6.1: Status-Server to a port for authentication.
const STATUS_REQUEST: &str = "
    0c da 00 26 8a 54 f4 68 6f b3 94 c5 28 66 e3 02 18 5d 06 23 50 12 5a 66 5e 2e 1e 84 11 f3 e2 43
    82 20 97 c8 4f a3";
const STATUS_ACCEPT: &str = "02 da 00 14 ef 0d 55 2a 4b f2 d6 93 ec 2b 6f e8 b5 41 1d 66";
/// RFC 5997, 6.2: Status-Server to a port for accounting.
const STATUS_ACCOUNTING: &str = "
    0c b3 00 26 92 5f 6b 66 dd 5f ed 57 1f cb 1d b7 ad 38 82 60 50 12 e8 d6 ea bd a9 10 87 5c d9 1f
    da de 26 36 78 58";

#[test]
fn response_authenticators_are_those_that_the_rfcs_print() {
    for (request, response) in [
        (TELNET_REQUEST, TELNET_ACCEPT),
        (CHAP_REQUEST, CHAP_ACCEPT),
        (STATUS_REQUEST, STATUS_ACCEPT),
    ] {
        let request = authenticator(&octets(request));
        let mut response = octets(response);
        assert!(verify_response(&response, &request, &secret()));
        let signed = response.clone();
        response[PLACE].fill(0);
        sign_response(&mut response, &request, &secret()).unwrap();
        assert_eq!(response, signed);
    }
}

#[test]
fn message_authenticators_are_those_that_rfc_5997_prints() {
    for request in [STATUS_REQUEST, STATUS_ACCOUNTING] {
        let mut request = octets(request);
        let header = authenticator(&request);
        assert!(verify_message(&request, 22, &header, &secret()));
        let signed = request.clone();
        request[22..].fill(0xff);
        sign_message(&mut request, 22, &header, &secret()).unwrap();
        assert_eq!(request, signed);
    }
}

#[test]
fn a_user_password_is_hidden_as_rfc_2865_prints_it() {
    let request = octets(TELNET_REQUEST);
    let header = authenticator(&request);
    let password = Secret::new(*b"arctangent");
    let mut value = [0xff; 16];
    hide_password(&mut value, &password, &header, &secret()).unwrap();
    assert_eq!(value, request[28..44]);
    assert_eq!(reveal_password(&value, &header, &secret()), Some(password));
}

#[test]
fn passwords_of_every_length_up_to_128_octets_come_back() {
    for len in 0..=MAX_PASSWORD {
        let password: Vec<u8> = (1..=128).take(len).collect();
        let password = Secret::new(password);
        let mut value = alloc::vec![0xff; hidden_password_len(&password).unwrap()];
        assert_eq!(value.len(), len.max(1).div_ceil(16) * 16);
        hide_password(&mut value, &password, &[7; 16], &secret()).unwrap();
        assert_eq!(reveal_password(&value, &[7; 16], &secret()), Some(password));
    }
}

#[test]
fn a_password_that_does_not_fit_its_attribute_is_not_written() {
    let long = Secret::new([1; MAX_PASSWORD + 1]);
    assert_eq!(hidden_password_len(&long), Err(PasswordTooLong));
    for (password, len) in [
        (long, 144),
        (Secret::new(*b"short"), 32),
        (Secret::new([]), 0),
    ] {
        let mut value = alloc::vec![0xaa; len];
        let hidden = hide_password(&mut value, &password, &[7; 16], &secret());
        assert_eq!(hidden, Err(OutOfPlace));
        assert!(value.iter().all(|octet| *octet == 0xaa));
    }
    for len in [0, 1, 15, 17, 144] {
        assert_eq!(reveal_password(&[0; 256][..len], &[7; 16], &secret()), None);
    }
}

/// Each octet of the packet, the authenticators and the secret takes part.
#[test]
fn a_flipped_bit_anywhere_is_a_wrong_signature() {
    let request = authenticator(&octets(TELNET_REQUEST));
    let mut response = octets(TELNET_ACCEPT);
    response.extend([80, 18].into_iter().chain([0; 16]));
    response[3] = 56;
    sign_message(&mut response, 40, &request, &secret()).unwrap();
    sign_response(&mut response, &request, &secret()).unwrap();
    assert!(verify_message(&response, 40, &request, &secret()));
    assert!(verify_response(&response, &request, &secret()));
    for at in 0..response.len() {
        let mut wrong = response.clone();
        wrong[at] ^= 0x10;
        assert!(!verify_response(&wrong, &request, &secret()), "octet {at}");
        // The header's authenticator is replaced by that of the request.
        let replaced = PLACE.contains(&at);
        assert_eq!(verify_message(&wrong, 40, &request, &secret()), replaced);
    }
    for at in 0..request.len() {
        let mut wrong = request;
        wrong[at] ^= 1;
        assert!(!verify_response(&response, &wrong, &secret()));
        assert!(!verify_message(&response, 40, &wrong, &secret()));
    }
    let other = Secret::new(*b"xyzzy5462");
    assert!(!verify_response(&response, &request, &other));
    assert!(!verify_message(&response, 40, &request, &other));
}

/// The Request Authenticator covers the Message-Authenticator, whatever the order of two signatures is
/// thought to be: RFC 5176, 2.3 computes the Message-Authenticator over a zeroed header first.
#[test]
fn a_request_of_accounting_or_dynamic_authorization_is_signed_over_zeroes() {
    let mut request = octets("28 07 00 32");
    request.extend([0xee; 16]);
    request.extend([44, 12].into_iter().chain(*b"00000001-1"));
    request.extend([80, 18].into_iter().chain([0; 16]));
    sign_message(&mut request, 34, &NO_AUTHENTICATOR, &secret()).unwrap();
    sign_request(&mut request, &secret()).unwrap();
    assert!(verify_request(&request, &secret()));
    assert!(verify_message(&request, 34, &NO_AUTHENTICATOR, &secret()));
    assert!(!verify_message(
        &request,
        34,
        &authenticator(&request),
        &secret()
    ));
    request[21] ^= 1;
    assert!(!verify_request(&request, &secret()));
}

#[test]
fn what_lies_outside_of_the_packet_is_neither_written_nor_believed() {
    for len in 0..HEADER {
        let mut short = [0; HEADER];
        let short = &mut short[..len];
        assert_eq!(sign_request(short, &secret()), Err(OutOfPlace));
        assert!(!verify_request(short, &secret()));
    }
    let mut packet = octets(STATUS_REQUEST);
    let before = packet.clone();
    for at in [0, 4, 19, 23, 38, usize::MAX - 15, usize::MAX] {
        let signed = sign_message(&mut packet, at, &[0; 16], &secret());
        assert_eq!(signed, Err(OutOfPlace), "{at}");
        assert!(!verify_message(&packet, at, &[0; 16], &secret()));
    }
    assert_eq!(packet, before);
}

const TUNNEL_PASSWORD: &str = "
    9a 31 c9 e5 4c 50 12 16 17 4d 18 7b d2 50 dd 0b 8c f5 5b 27 
    76 76 6d 5f 02 3b 07 59 52 cf 58 67 af 1e";

const HEADER: usize = 20;

/// Hides as a server does (RFC 2868, 3.5), so that what is revealed can be compared.
fn salted(clear: &[u8], salt: [u8; 2], request: &Authenticator) -> Vec<u8> {
    let mut value = salt.to_vec();
    let mut mask = digest(&[b"xyzzy5461", request, &salt]);
    for block in clear.chunks(BLOCK) {
        let mut whole = [0; BLOCK];
        whole[..block.len()].copy_from_slice(block);
        apply(&mask, &mut whole);
        mask = digest(&[b"xyzzy5461", &whole]);
        value.extend(whole);
    }
    value
}

#[test]
fn salted_values_of_every_length_come_back() {
    for len in 0..=239_u8 {
        let key: Vec<u8> = (1..=len).collect();
        let clear: Vec<u8> = core::iter::once(len).chain(key.iter().copied()).collect();
        let value = salted(&clear, [0x80, len], &[9; 16]);
        let revealed = reveal_salted(&value, &[9; 16], &secret()).unwrap();
        assert_eq!(revealed, Secret::new(key));
    }
}

/// Computed from RFC 2868, 3.5 with another implementation of MD5.
#[test]
fn a_tunnel_password_is_the_vector_computed_elsewhere() {
    let value = octets(TUNNEL_PASSWORD);
    let request = authenticator(&octets(TELNET_REQUEST));
    let revealed = reveal_salted(&value, &request, &secret()).unwrap();
    assert_eq!(revealed, Secret::new(*b"a tunnel's own secret"));
}

/// CVE-2003-0967: a server that took a length from a Tunnel-Password of two octets counted below zero.
#[test]
fn cve_2003_0967_a_tunnel_password_of_few_octets_is_refused() {
    let whole = salted(b"\x03key", [0x80, 1], &[9; 16]);
    for len in 0..=2 {
        let revealed = reveal_salted(&whole[..len], &[9; 16], &secret());
        assert_eq!(revealed, Err(WrongSalted::Truncated), "{len}");
    }
    for len in 3..18 {
        let revealed = reveal_salted(&whole[..len], &[9; 16], &secret());
        assert_eq!(revealed, Err(WrongSalted::Blocks), "{len}");
    }
    let lying = salted(b"\x10key", [0x80, 1], &[9; 16]);
    let revealed = reveal_salted(&lying, &[9; 16], &secret());
    assert_eq!(revealed, Err(WrongSalted::Length));
}
