//! Filters that encode and digest.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use sha1::Digest;

use super::super::error::{Result, TemplateError};
use super::super::eval::{Args, Interp};
use super::super::value::Value;
use super::{Filter, filter};

pub(super) const FILTERS: &[Filter] = &[
    filter("b64encode", b64encode),
    filter("b64decode", b64decode),
    filter("hash", hash),
    filter("checksum", |interp, args| digest_filter(interp, args, "sha1")),
    filter("sha1", |interp, args| digest_filter(interp, args, "sha1")),
    filter("md5", |interp, args| digest_filter(interp, args, "md5")),
    filter("password_hash", password_hash),
    filter("to_uuid", to_uuid),
];

fn only_utf8(interp: &mut Interp<'_>, encoding: Option<Value>) -> Result<()> {
    match interp.arg_text_or(encoding, "utf-8")?.to_lowercase().as_str() {
        "utf-8" | "utf8" | "ascii" | "us-ascii" => Ok(()),
        other => Err(TemplateError::failed(format!("only knows the encoding utf-8, not `{other}`"))),
    }
}

fn b64encode(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    let (input, args) = args.input();
    let [encoding, urlsafe] = args.bind(["encoding", "urlsafe"])?;
    only_utf8(interp, encoding)?;
    let text = interp.text(&input)?;
    let engine = if interp.arg_flag(urlsafe, false)? { &URL_SAFE } else { &STANDARD };
    Ok(Value::str(engine.encode(text)))
}

fn b64decode(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    let (input, args) = args.input();
    let [encoding, urlsafe] = args.bind(["encoding", "urlsafe"])?;
    only_utf8(interp, encoding)?;
    let text = interp.text(&input)?;
    let engine = if interp.arg_flag(urlsafe, false)? { &URL_SAFE } else { &STANDARD };
    // Python passes over everything that is not of the alphabet.
    let compact: String = text.chars().filter(|c| c.is_ascii_alphanumeric() || "+/-_=".contains(*c)).collect();
    let bytes = engine.decode(compact).map_err(|error| TemplateError::failed(format!("not base64: {error}")))?;
    let text = String::from_utf8(bytes)
        .map_err(|_| TemplateError::failed("the decoded bytes are not UTF-8 text").hinted("copy the file instead"))?;
    Ok(Value::str(text))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn digest(text: &str, kind: &str) -> Result<String> {
    Ok(match kind {
        "md5" => hex(&md5::Md5::digest(text)),
        "sha1" => hex(&sha1::Sha1::digest(text)),
        "sha224" => hex(&sha2::Sha224::digest(text)),
        "sha256" => hex(&sha2::Sha256::digest(text)),
        "sha384" => hex(&sha2::Sha384::digest(text)),
        "sha512" => hex(&sha2::Sha512::digest(text)),
        other => {
            let known = "md5, sha1, sha224, sha256, sha384, sha512";
            return Err(TemplateError::failed(format!("knows {known}, not `{other}`")));
        }
    })
}

fn hash(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    let (input, args) = args.input();
    let [kind] = args.bind(["hashtype"])?;
    let kind = interp.arg_text_or(kind, "sha1")?;
    let text = interp.text(&input)?;
    digest(&text, &kind.to_lowercase()).map(Value::str)
}

fn digest_filter(interp: &mut Interp<'_>, args: Args, kind: &str) -> Result<Value> {
    let (input, args) = args.input();
    args.none()?;
    let text = interp.text(&input)?;
    digest(&text, kind).map(Value::str)
}

fn password_hash(_: &mut Interp<'_>, _: Args) -> Result<Value> {
    Err(TemplateError::failed("kfleet does not hash passwords")
        .hinted("store the hash itself, made with `openssl passwd -6`"))
}

/// The namespace in which Ansible makes its UUIDs: 361E6D51-FAEC-444A-9079-341386DA8E2E.
const ANSIBLE_NAMESPACE: &str = "361e6d51-faec-444a-9079-341386da8e2e";

fn to_uuid(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    let (input, args) = args.input();
    let [namespace] = args.bind(["namespace"])?;
    let namespace = interp.arg_text_or(namespace, ANSIBLE_NAMESPACE)?;
    let digits: Vec<u8> = namespace.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
    if digits.len() != 32 || namespace.chars().any(|c| c != '-' && !c.is_ascii_hexdigit()) {
        return Err(TemplateError::failed(format!("the namespace `{namespace}` is not a UUID")));
    }
    let mut sha = sha1::Sha1::new();
    sha.update(digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect::<Vec<u8>>());
    sha.update(interp.text(&input)?);
    let mut bytes = sha.finalize()[..16].to_vec();
    bytes[6] = bytes[6] & 0x0f | 0x50;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let text = hex(&bytes);
    let parts = [&text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..]];
    Ok(Value::str(parts.join("-")))
}
