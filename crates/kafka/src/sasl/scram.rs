//! The client's part of SCRAM (RFC 5802, RFC 7677), without channel binding, as Kafka speaks it.
//!
//! Texts in, texts out; only [`nonce`] reads the random source. Kafka does not normalise names and passwords, nor does
//! this.

use aws_lc_rs::{constant_time, digest, hmac, rand};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use zeroize::Zeroizing;

/// RFC 7677 asks for at least this many rounds; brokers refuse to store fewer.
const MIN_ROUNDS: u32 = 4096;

/// A hundred times what brokers use by default. Without a bound, a false broker could keep the client busy.
const MAX_ROUNDS: u32 = 409_600;

/// Which hash the mechanism is built on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hash {
    Sha256,
    Sha512,
}

impl Hash {
    fn hmac(self) -> hmac::Algorithm {
        match self {
            Self::Sha256 => hmac::HMAC_SHA256,
            Self::Sha512 => hmac::HMAC_SHA512,
        }
    }

    fn digest(self) -> &'static digest::Algorithm {
        match self {
            Self::Sha256 => &digest::SHA256,
            Self::Sha512 => &digest::SHA512,
        }
    }

    fn sign(self, key: &[u8], data: &[u8]) -> hmac::Tag {
        hmac::sign(&hmac::Key::new(self.hmac(), key), data)
    }

    /// `Hi` of RFC 5802, which is PBKDF2 with an output of one block.
    fn salt(self, password: &[u8], salt: &[u8], rounds: u32) -> Zeroizing<Vec<u8>> {
        let key = hmac::Key::new(self.hmac(), password);
        let mut round = hmac::sign(&key, &[salt, &1_u32.to_be_bytes()].concat());
        let mut sum = Zeroizing::new(round.as_ref().to_vec());
        for _ in 1..rounds {
            round = hmac::sign(&key, round.as_ref());
            xor(&mut sum, round.as_ref());
        }
        sum
    }
}

fn xor(into: &mut [u8], with: &[u8]) {
    for (one, other) in into.iter_mut().zip(with) {
        *one ^= other;
    }
}

/// 144 random bits in letters and digits.
pub(super) fn nonce() -> Result<String, &'static str> {
    let mut bytes = [0; 18];
    rand::fill(&mut bytes).map_err(|_| "the system gives no random numbers")?;
    Ok(BASE64.encode(bytes))
}

/// What the client opens with.
pub(super) struct ClientFirst {
    hash: Hash,
    nonce: String,
    /// Without the header that says that no channel is bound.
    bare: String,
}

impl ClientFirst {
    pub(super) fn new(hash: Hash, user: &str, nonce: String) -> Self {
        let user = user.replace('=', "=3D").replace(',', "=2C");
        Self { hash, bare: format!("n={user},r={nonce}"), nonce }
    }

    pub(super) fn message(&self) -> String {
        format!("n,,{}", self.bare)
    }

    /// Answers the broker's challenge.
    pub(super) fn answer(&self, challenge: &[u8], password: &[u8]) -> Result<ClientLast, &'static str> {
        let challenge = std::str::from_utf8(challenge).map_err(|_| "its challenge is not text")?;
        let mut parts = challenge.split(',');
        let mut part = |name: &str| parts.next().and_then(|part| part.strip_prefix(name));
        let nonce = part("r=").ok_or("its challenge has no nonce")?;
        let salt = part("s=").ok_or("its challenge has no salt")?;
        let rounds = part("i=").ok_or("its challenge has no number of rounds")?;
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {
            return Err("its nonce does not continue ours");
        }
        let salt = BASE64.decode(salt).map_err(|_| "its salt is not base64")?;
        let rounds: u32 = rounds.parse().map_err(|_| "its number of rounds is no number")?;
        if !(MIN_ROUNDS..=MAX_ROUNDS).contains(&rounds) {
            return Err("its number of rounds is not between 4096 and 409600");
        }
        let salted = self.hash.salt(password, &salt, rounds);
        // "biws" is the header "n,," in base64.
        let without_proof = format!("c=biws,r={nonce}");
        let signed = format!("{},{challenge},{without_proof}", self.bare);
        let client_key = self.hash.sign(&salted, b"Client Key");
        let stored_key = digest::digest(self.hash.digest(), client_key.as_ref());
        let mut proof = client_key.as_ref().to_vec();
        xor(&mut proof, self.hash.sign(stored_key.as_ref(), signed.as_bytes()).as_ref());
        let server_key = self.hash.sign(&salted, b"Server Key");
        Ok(ClientLast {
            message: format!("{without_proof},p={}", BASE64.encode(proof)),
            expected: self.hash.sign(server_key.as_ref(), signed.as_bytes()),
        })
    }
}

/// What the client ends with.
pub(super) struct ClientLast {
    message: String,
    expected: hmac::Tag,
}

impl ClientLast {
    pub(super) fn message(&self) -> &str {
        &self.message
    }

    /// Checks that the broker knows the password too.
    pub(super) fn check(&self, verdict: &[u8]) -> Result<(), &'static str> {
        let verdict = std::str::from_utf8(verdict).map_err(|_| "its verdict is not text")?;
        let signature = verdict.split(',').next().and_then(|part| part.strip_prefix("v="));
        let signature = signature.ok_or("it did not sign the exchange")?;
        let signature = BASE64.decode(signature).map_err(|_| "its signature is not base64")?;
        constant_time::verify_slices_are_equal(&signature, self.expected.as_ref())
            .map_err(|_| "its signature is wrong: it does not know the password")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7677, section 3.
    const NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
    const CHALLENGE: &str = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
    const VERDICT: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

    fn first() -> ClientFirst {
        ClientFirst::new(Hash::Sha256, "user", NONCE.to_owned())
    }

    #[test]
    fn the_example_of_the_rfc_is_reproduced() {
        assert_eq!(first().message(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let last = first().answer(CHALLENGE.as_bytes(), b"pencil").unwrap();
        assert_eq!(
            last.message(),
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        assert_eq!(last.check(VERDICT.as_bytes()), Ok(()));
    }

    #[test]
    fn a_false_brokers_challenge_is_refused() {
        let cases = [
            (CHALLENGE.replace("r=rOpr", "r=xOpr"), "its nonce does not continue ours"),
            (CHALLENGE.replace("%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0", ""), "its nonce does not continue ours"),
            (CHALLENGE.replace("4096", "1"), "its number of rounds is not between 4096 and 409600"),
            (CHALLENGE.replace("4096", "4000000000"), "its number of rounds is not between 4096 and 409600"),
            (CHALLENGE.replace("4096", "many"), "its number of rounds is no number"),
            (CHALLENGE.replace("W22Z", "***"), "its salt is not base64"),
            ("m=mandatory,".to_owned() + CHALLENGE, "its challenge has no nonce"),
            (String::new(), "its challenge has no nonce"),
        ];
        for (challenge, expected) in cases {
            assert_eq!(first().answer(challenge.as_bytes(), b"pencil").err(), Some(expected), "{challenge}");
        }
    }

    #[test]
    fn a_broker_that_does_not_know_the_password_is_found_out() {
        let last = first().answer(CHALLENGE.as_bytes(), b"pencil").unwrap();
        let cases = [
            ("v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=", "its signature is wrong: it does not know the password"),
            ("v=", "its signature is wrong: it does not know the password"),
            ("v=*", "its signature is not base64"),
            ("e=other-error", "it did not sign the exchange"),
            ("", "it did not sign the exchange"),
        ];
        for (verdict, expected) in cases {
            assert_eq!(last.check(verdict.as_bytes()), Err(expected), "{verdict}");
        }
    }

    #[test]
    fn commas_and_equals_signs_of_a_name_are_escaped() {
        assert_eq!(ClientFirst::new(Hash::Sha512, "a=b,c", "N".into()).message(), "n,,n=a=3Db=2Cc,r=N");
    }

    #[test]
    fn no_two_nonces_are_alike_and_none_has_a_comma() {
        let (one, other) = (nonce().unwrap(), nonce().unwrap());
        assert_ne!(one, other);
        assert!(one.len() == 24 && !one.contains(','));
    }
}
