//! What the configuration file names: certificates, keys, secrets, variables. Read once, to be believed.
//!
//! Every failure is noted at the key that names the file. Files are bounded in size. Of a secret neither the content nor
//! the name of its file or variable is ever quoted, since people put the secret itself there. Nothing is watched here, but how each
//! file looked is noted.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use crate::config::engine::{KeySpec, Kind, ReferencedFile, Table, Value};
use crate::listen::CertificateFiles;
use crate::runtime::file_watch::FileStamp;
use crate::secret::Secret;

/// Most bytes of any file that is read here. The largest bundles of certificates are below 1 MiB.
const MAX_FILE_BYTES: u64 = 4 << 20;

/// `{ chain = "…", key = "…" }`.
pub(super) const CERTIFICATE: &[KeySpec] = &[
    KeySpec::required("chain", Kind::String, "File of certificates in PEM, the server's or client's own first."),
    KeySpec::required("key", Kind::String, "File of the private key in PEM: PKCS#8, PKCS#1 or SEC1."),
];

/// `{ file = "…" }` or `{ env = "…" }`, of a header's value.
pub(super) const HEADER_SECRET: &[KeySpec] = &[
    KeySpec::optional("file", Kind::String, "File whose content is the value, without the newline at its end."),
    KeySpec::optional("env", Kind::String, "Environment variable whose content is the value, likewise."),
];

/// `{ file = "…" }` or `{ env = "…" }`, of a shared key.
pub(super) const KEY_SECRET: &[KeySpec] = &[
    KeySpec::optional("file", Kind::String, "File whose bytes are the secret, untrimmed."),
    KeySpec::optional("env", Kind::String, "Environment variable whose bytes are the secret."),
    KeySpec::default("encoding", Kind::Enum(&["raw", "base64"]), "raw", "How the bytes are written."),
];

/// The provider of all cryptography. Named explicitly: there is no process-wide default.
pub(super) fn provider() -> CryptoProvider {
    aws_lc_rs::default_provider()
}

/// The path that a value names, relative to the configuration file.
pub(super) fn path(value: &Value<'_>) -> Option<PathBuf> {
    value.string().map(|text| value.reader.folder.join(text))
}

/// Reads a file that a value names, and whose changes its user follows.
pub(super) fn content(value: &Value<'_>) -> Option<(PathBuf, Vec<u8>)> {
    read_content(value, true)
}

/// Reads a file that a value names, and whose changes only reading the configuration again takes in.
fn fixed_content(value: &Value<'_>) -> Option<(PathBuf, Vec<u8>)> {
    read_content(value, false)
}

/// Notes how a file that a value names looks now, for somebody else who reads it and follows its changes.
pub(super) fn followed(value: &Value<'_>) -> Option<PathBuf> {
    record_file(value, true)
}

fn record_file(value: &Value<'_>, is_followed: bool) -> Option<PathBuf> {
    let path = path(value)?;
    let source = ReferencedFile { path: path.clone(), stamp: FileStamp::of(&path), is_followed };
    value.reader.referenced_files.borrow_mut().push(source);
    Some(path)
}

fn read_content(value: &Value<'_>, is_followed: bool) -> Option<(PathBuf, Vec<u8>)> {
    // Looked at before it is read: a change in between is seen later.
    let path = record_file(value, is_followed)?;
    match read(&path) {
        Ok(content) => Some((path, content)),
        Err(reason) => {
            value.report(format!("the file cannot be read: {reason}"));
            None
        }
    }
}

/// Reads a file of at most [`MAX_FILE_BYTES`] bytes.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, String> {
    let mut content = Vec::new();
    let file = File::open(path).map_err(|error| error.to_string())?;
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut content).map_err(|error| error.to_string())?;
    if content.len() as u64 > MAX_FILE_BYTES {
        return Err("it is larger than 4 MiB".to_owned());
    }
    Ok(content)
}

/// The bytes behind `{ file = "…" }` or `{ env = "…" }`, as they are.
pub(super) fn secret_bytes(table: &Table<'_>) -> Option<Vec<u8>> {
    match (table.get("file"), table.get("env")) {
        (Some(file), None) => fixed_content(&file).map(|(_, bytes)| bytes),
        (None, Some(variable)) => {
            let bytes = (variable.reader.environment)(variable.string()?);
            if bytes.is_none() {
                variable.report("the environment variable is not set");
            }
            bytes
        }
        (Some(_), Some(_)) => {
            table.report("env", "stands beside file: a secret has one source");
            None
        }
        (None, None) => {
            table.report("file", "is missing: a secret is { file = \"…\" } or { env = \"…\" }");
            None
        }
    }
}

/// The secret of a `secret = { … }` table, decoded.
pub(super) fn key_secret(table: &Table<'_>) -> Option<Secret> {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

    let is_base64 = table.variant("encoding", &[("raw", false), ("base64", true)]);
    let bytes = secret_bytes(table)?;
    if !is_base64 {
        return Some(Secret::new(bytes));
    }
    // Lines are folded and padding is left out by some tools; both alphabets are in use.
    let text: Vec<u8> = bytes.into_iter().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let text = text.iter().rposition(|&byte| byte != b'=').map_or(&[][..], |last| &text[..=last]);
    let decoded = STANDARD_NO_PAD.decode(text).or_else(|_| URL_SAFE_NO_PAD.decode(text));
    if decoded.is_err() {
        table.report("encoding", "the secret is not base64");
    }
    decoded.ok().map(Secret::new)
}

/// The certificates in the file that a value names. At least one.
pub(super) fn certificates(value: &Value<'_>) -> Option<(PathBuf, Vec<CertificateDer<'static>>)> {
    read_chain(value, true)
}

/// The same for a file whose changes nobody follows.
fn fixed_certificates(value: &Value<'_>) -> Option<(PathBuf, Vec<CertificateDer<'static>>)> {
    read_chain(value, false)
}

fn read_chain(value: &Value<'_>, is_followed: bool) -> Option<(PathBuf, Vec<CertificateDer<'static>>)> {
    let (path, content) = read_content(value, is_followed)?;
    let parsed: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&content).collect();
    match parsed {
        Ok(chain) if chain.is_empty() => value.report("the file holds no certificate in PEM"),
        Ok(chain) => return Some((path, chain)),
        Err(_) => value.report("the file is not PEM"),
    }
    None
}

/// Reads the authorities that a value names as trusted instead of the system's. Their changes are followed by nobody.
pub(super) fn authorities(value: &Value<'_>) -> Option<RootCertStore> {
    let (_, certificates) = fixed_certificates(value)?;
    let mut roots = RootCertStore::empty();
    if roots.add_parsable_certificates(certificates).1 > 0 {
        value.report("the file holds a certificate that cannot be read");
    }
    Some(roots)
}

/// A chain and its key, which must belong together.
pub(super) fn certified_key(table: &Table<'_>) -> Option<(CertificateFiles, CertifiedKey)> {
    read_certified_key(table, true)
}

/// The same for files whose changes nobody follows.
pub(super) fn fixed_certified_key(table: &Table<'_>) -> Option<(CertificateFiles, CertifiedKey)> {
    read_certified_key(table, false)
}

fn read_certified_key(table: &Table<'_>, is_followed: bool) -> Option<(CertificateFiles, CertifiedKey)> {
    let certificates = table.get("chain");
    let key = table.get("key");
    let certificates = certificates.and_then(|value| read_chain(&value, is_followed));
    let key = key.and_then(|value| private_key(&value, is_followed));
    let ((chain_path, chain), (key_path, key)) = (certificates?, key?);
    match CertifiedKey::from_der(chain, key, &provider()) {
        Ok(certified) => Some((CertificateFiles { chain: chain_path, key: key_path }, certified)),
        Err(rustls::Error::InconsistentKeys(_)) => {
            table.report("key", "is not the key of the certificate in chain");
            None
        }
        Err(rustls::Error::InvalidCertificate(_)) => {
            table.report("chain", "the first certificate cannot be read");
            None
        }
        Err(_) => {
            table.report("key", "is not a private key that can be used");
            None
        }
    }
}

fn private_key(value: &Value<'_>, is_followed: bool) -> Option<(PathBuf, PrivateKeyDer<'static>)> {
    let (path, content) = read_content(value, is_followed)?;
    match PrivateKeyDer::from_pem_slice(&content) {
        Ok(key) => Some((path, key)),
        Err(_) => {
            value.report("the file holds no private key in PEM");
            None
        }
    }
}
