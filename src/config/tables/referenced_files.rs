//! Reads the certificates, keys, secrets and environment variables that the configuration references.
//!
//! Every failure is reported at the key that names the file. Files are bounded in size. Problems never quote a secret or
//! the name of its file or variable, because people sometimes put the secret itself there.
//!
//! Each file is recorded with its state before reading, so that a watcher can notice changes. A file is either watched by
//! its user, or re-read only when the configuration is reloaded (the `fixed_` functions).

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use crate::config::engine::{Key, ReferencedFile, Value, keys, variants};
use crate::listen::CertificateFiles;
use crate::runtime::file_watch::FileStamp;
use crate::secret::Secret;

/// The maximum size of a file in bytes. The largest certificate bundles are below 1 MiB.
const MAX_FILE_BYTES: u64 = 4 << 20;

keys! {
    /// `{ chain = "…", key = "…" }`.
    pub(super) struct CertificateTable<'a> {
        /// PEM file of the certificate chain, leaf certificate first.
        chain: &'a str = required,
        /// PEM file of the private key: PKCS#8, PKCS#1 or SEC1.
        key: &'a str = required,
    }

    /// `{ file = "…" }` or `{ env = "…" }`: the value of a header.
    pub(super) struct HeaderSecretTable<'a> {
        /// File that contains the value. A newline at its end is removed.
        pub(super) file: &'a str = optional,
        /// Environment variable that contains the value. A newline at its end is removed.
        pub(super) env: &'a str = optional,
    }

    /// `{ file = "…" }` or `{ env = "…" }`: a shared secret.
    pub(super) struct KeySecretTable<'a> {
        /// File that contains the secret. Nothing is trimmed.
        file: &'a str = optional,
        /// Environment variable that contains the secret. Nothing is trimmed.
        env: &'a str = optional,
        /// Encoding of the secret.
        encoding: SecretEncoding = "raw",
    }
}

#[derive(PartialEq)]
pub(super) enum SecretEncoding {
    Raw,
    Base64,
}

variants!(SecretEncoding { "raw" => Raw, "base64" => Base64 });

/// Returns the cryptography provider. It is always passed explicitly; no process-wide default is installed.
pub(super) fn provider() -> CryptoProvider {
    aws_lc_rs::default_provider()
}

/// Returns the path in `value`, resolved against the folder of the configuration file.
pub(super) fn path(value: &Value<'_>) -> Option<PathBuf> {
    value.read().map(|text| value.reader.folder.join(text))
}

/// Reads a file that is watched by its user.
pub(super) fn content(value: &Value<'_>) -> Option<(PathBuf, Vec<u8>)> {
    read_content(value, true)
}

/// Reads a file whose changes take effect when the configuration is reloaded.
fn fixed_content(value: &Value<'_>) -> Option<(PathBuf, Vec<u8>)> {
    read_content(value, false)
}

/// Records a file that its user reads and watches. Returns its path.
pub(super) fn watched_path(value: &Value<'_>) -> Option<PathBuf> {
    record_file(value, true)
}

fn record_file(value: &Value<'_>, is_watched_by_user: bool) -> Option<PathBuf> {
    let path = path(value)?;
    let source = ReferencedFile { path: path.clone(), stamp: FileStamp::of(&path), is_watched_by_user };
    value.reader.referenced_files.borrow_mut().push(source);
    Some(path)
}

fn read_content(value: &Value<'_>, is_watched_by_user: bool) -> Option<(PathBuf, Vec<u8>)> {
    // Record the state before reading, so that a change in between is noticed later.
    let path = record_file(value, is_watched_by_user)?;
    match read(&path) {
        Ok(content) => Some((path, content)),
        Err(reason) => {
            value.report(format!("cannot read the file: {reason}"));
            None
        }
    }
}

/// Reads a file of at most [`MAX_FILE_BYTES`].
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, String> {
    let mut content = Vec::new();
    let file = File::open(path).map_err(|error| error.to_string())?;
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut content).map_err(|error| error.to_string())?;
    if content.len() as u64 > MAX_FILE_BYTES {
        return Err("larger than 4 MiB".to_owned());
    }
    Ok(content)
}

/// Reads the bytes of `{ file = "…" }` or `{ env = "…" }` without changing them.
pub(super) fn secret_bytes(file: &Key<'_>, env: &Key<'_>) -> Option<Vec<u8>> {
    match (file.value(), env.value()) {
        (Some(value), None) => fixed_content(&value).map(|(_, bytes)| bytes),
        (None, Some(variable)) => {
            let bytes = (variable.reader.environment)(variable.read()?);
            if bytes.is_none() {
                variable.report("environment variable not set");
            }
            bytes
        }
        (Some(_), Some(_)) => {
            env.report("conflicts with file: a secret has one source");
            None
        }
        (None, None) => {
            file.report("missing: expected { file = \"…\" } or { env = \"…\" }");
            None
        }
    }
}

/// Reads and decodes a `secret = { … }` table.
pub(super) fn key_secret(table: &KeySecretTable<'_>) -> Option<Secret> {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

    let is_base64 = table.encoding.get() == SecretEncoding::Base64;
    let bytes = secret_bytes(&table.file, &table.env)?;
    if !is_base64 {
        return Some(Secret::new(bytes));
    }
    // Accept what common tools produce: folded lines, missing padding, and both alphabets.
    let text: Vec<u8> = bytes.into_iter().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let text = text.iter().rposition(|&byte| byte != b'=').map_or(&[][..], |last| &text[..=last]);
    let decoded = STANDARD_NO_PAD.decode(text).or_else(|_| URL_SAFE_NO_PAD.decode(text));
    if decoded.is_err() {
        table.encoding.report("the secret is not valid base64");
    }
    decoded.ok().map(Secret::new)
}

/// Reads a file of at least one certificate.
fn read_chain(value: &Value<'_>, is_watched_by_user: bool) -> Option<(PathBuf, Vec<CertificateDer<'static>>)> {
    let (path, content) = read_content(value, is_watched_by_user)?;
    let parsed: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&content).collect();
    match parsed {
        Ok(chain) if chain.is_empty() => value.report("the file contains no PEM certificate"),
        Ok(chain) => return Some((path, chain)),
        Err(_) => value.report("the file is not valid PEM"),
    }
    None
}

/// Reads CA certificates that are trusted instead of the system's. Changes take effect when the configuration is reloaded.
pub(super) fn authorities(value: &Value<'_>) -> Option<RootCertStore> {
    read_authorities(value, false).map(|(_, roots)| roots)
}

/// Checks a file of CA certificates that is watched by its user. Returns its path.
pub(super) fn watched_authorities(value: &Value<'_>) -> Option<PathBuf> {
    read_authorities(value, true).map(|(path, _)| path)
}

fn read_authorities(value: &Value<'_>, is_watched_by_user: bool) -> Option<(PathBuf, RootCertStore)> {
    let (path, certificates) = read_chain(value, is_watched_by_user)?;
    let mut roots = RootCertStore::empty();
    if roots.add_parsable_certificates(certificates).1 > 0 {
        value.report("the file contains an invalid certificate");
    }
    Some((path, roots))
}

/// Reads a certificate chain and its private key, which must match. Both files are watched by their user.
pub(super) fn certified_key(table: &CertificateTable<'_>) -> Option<(CertificateFiles, CertifiedKey)> {
    read_certified_key(table, true)
}

/// Reads a certificate chain and its private key, which must match. Changes take effect when the configuration is
/// reloaded.
pub(super) fn fixed_certified_key(table: &CertificateTable<'_>) -> Option<(CertificateFiles, CertifiedKey)> {
    read_certified_key(table, false)
}

fn read_certified_key(
    table: &CertificateTable<'_>,
    is_watched_by_user: bool,
) -> Option<(CertificateFiles, CertifiedKey)> {
    let certificates = table.chain.value();
    let key = table.key.value();
    let certificates = certificates.and_then(|value| read_chain(&value, is_watched_by_user));
    let key = key.and_then(|value| private_key(&value, is_watched_by_user));
    let ((chain_path, chain), (key_path, key)) = (certificates?, key?);
    match CertifiedKey::from_der(chain, key, &provider()) {
        Ok(certified) => Some((CertificateFiles { chain: chain_path, key: key_path }, certified)),
        Err(rustls::Error::InconsistentKeys(_)) => {
            table.key.report("does not match the certificate in chain");
            None
        }
        Err(rustls::Error::InvalidCertificate(_)) => {
            table.chain.report("the first certificate is invalid");
            None
        }
        Err(_) => {
            table.key.report("unsupported private key");
            None
        }
    }
}

fn private_key(value: &Value<'_>, is_watched_by_user: bool) -> Option<(PathBuf, PrivateKeyDer<'static>)> {
    let (path, content) = read_content(value, is_watched_by_user)?;
    match PrivateKeyDer::from_pem_slice(&content) {
        Ok(key) => Some((path, key)),
        Err(_) => {
            value.report("the file contains no PEM private key");
            None
        }
    }
}
