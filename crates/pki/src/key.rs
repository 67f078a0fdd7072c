//! Private keys and the requests that are made of them.
//!
//! Purpose: ECDSA P-256 key pairs that show themselves in no debug output and are wiped when dropped.
//! Place in the flow: a host's agent makes its key and request by itself; the key never leaves the host.
//! Not here: files (see `store/`), signing of other people's requests (see `ca.rs`).

use crate::identity::Identity;
use rcgen::{
    CertificateParams, DistinguishedName, PKCS_ECDSA_P256_SHA256, PublicKeyData, SanType, SignatureAlgorithm,
    SigningKey,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use std::fmt;
use zeroize::{Zeroize, Zeroizing};

/// An ECDSA P-256 key pair.
pub struct KeyPair(rcgen::KeyPair);

/// Why a key can not be made or read. Never holds any part of the key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The text holds no PKCS#8 private key.
    #[error("it holds no readable private key in PEM form (PKCS#8, \"BEGIN PRIVATE KEY\")")]
    Unreadable,
    /// The key is of another kind than kfleet makes.
    #[error("the private key is not an ECDSA P-256 key")]
    WrongAlgorithm,
    /// The cryptography library could not make a key or request.
    #[error("the cryptography library failed")]
    Crypto(#[source] rcgen::Error),
}

impl KeyPair {
    /// Makes a new random key.
    ///
    /// # Errors
    /// When the system's random source fails.
    pub fn generate() -> Result<Self, KeyError> {
        rcgen::KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map(Self).map_err(KeyError::Crypto)
    }

    /// Reads a key from PEM text.
    ///
    /// # Errors
    /// When the text holds no PKCS#8 key or one of another algorithm.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(text.as_bytes()).map_err(|_| KeyError::Unreadable)?;
        rcgen::KeyPair::from_pkcs8_der_and_sign_algo(&der, &PKCS_ECDSA_P256_SHA256)
            .map(Self)
            .map_err(|_| KeyError::WrongAlgorithm)
    }

    /// The key as PEM text, which is wiped when dropped.
    #[must_use]
    pub fn to_pem(&self) -> Zeroizing<String> {
        Zeroizing::new(self.0.serialize_pem())
    }

    /// Asks for a certificate for this key, in PEM form.
    ///
    /// The identity stands in the request for the reader's sake only: the authority takes nothing but the public key.
    ///
    /// # Errors
    /// When the cryptography library fails.
    pub fn request(&self, identity: &Identity) -> Result<String, KeyError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.subject_alt_names = vec![SanType::URI(identity.uri().try_into().map_err(KeyError::Crypto)?)];
        params.serialize_request(self).and_then(|request| request.pem()).map_err(KeyError::Crypto)
    }

    /// Asks for a certificate without saying for whom: the one who signs knows it better.
    ///
    /// # Errors
    /// When the cryptography library fails.
    pub fn nameless_request(&self) -> Result<String, KeyError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.serialize_request(self).and_then(|request| request.pem()).map_err(KeyError::Crypto)
    }

    /// The key in the form that rustls takes.
    pub(crate) fn to_der(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.0.serialize_der()))
    }
}

impl PublicKeyData for KeyPair {
    fn der_bytes(&self) -> &[u8] {
        self.0.der_bytes()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

impl SigningKey for KeyPair {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.0.sign(message)
    }
}

impl Drop for KeyPair {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyPair(secret)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_its_text_form_and_shows_nothing_in_debug_output() {
        let key = KeyPair::generate().unwrap();
        let again = KeyPair::from_pem(&key.to_pem()).unwrap();
        assert_eq!(key.der_bytes(), again.der_bytes());
        assert_eq!(format!("{key:?}"), "KeyPair(secret)");
    }

    #[test]
    fn other_texts_and_algorithms_are_refused() {
        assert!(matches!(KeyPair::from_pem("nonsense"), Err(KeyError::Unreadable)));
        let ed25519 = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        assert!(matches!(KeyPair::from_pem(&ed25519.serialize_pem()), Err(KeyError::WrongAlgorithm)));
    }
}
