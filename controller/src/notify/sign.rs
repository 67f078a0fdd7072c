//! The signatures that channels share.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

fn hmac_sha256(key: &[u8], text: &[u8]) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text)
}

/// HMAC-SHA256 (RFC 2104) in base64.
#[must_use]
pub(super) fn hmac_base64(key: &[u8], text: &[u8]) -> String {
    STANDARD.encode(hmac_sha256(key, text))
}

/// HMAC-SHA256 in lower-case hexadecimal digits.
#[must_use]
pub(super) fn hmac_hex(key: &[u8], text: &[u8]) -> String {
    hmac_sha256(key, text).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The value of an `Authorization` header with name and password (RFC 7617).
#[must_use]
pub(super) fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231, test case 2; the base64 form made with `printf 'what do ya want for nothing?' | openssl dgst -sha256
    /// -hmac Jefe -binary | base64`.
    #[test]
    fn the_vectors_of_the_rfc_hold() {
        let text = b"what do ya want for nothing?";
        assert_eq!(hmac_hex(b"Jefe", text), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
        assert_eq!(hmac_base64(b"Jefe", text), "W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM=");
        // RFC 7617, section 2.
        assert_eq!(basic("Aladdin", "open sesame"), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
    }
}
