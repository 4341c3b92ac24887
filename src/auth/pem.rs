//! PEM (RFC 7468): labels and bytes.
//!
//! Reads and writes no more than key files need. Text between sections is skipped. A section that is not closed by its
//! own label, or is not base64, is an error. Does not interpret the bytes. (The PEM reader of rustls-pki-types skips
//! sections with labels that it does not know, so a key file of the wrong kind could not be named in the error.)

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The text is not PEM, or is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a PEM text, or a damaged one")]
pub(super) struct NotPem;

/// Returns the label and the bytes of each section of `text`. Never empty.
///
/// # Errors
/// There is no section, or one is damaged.
pub(super) fn sections(text: &[u8]) -> Result<Vec<(String, Vec<u8>)>, NotPem> {
    let text = std::str::from_utf8(text).map_err(|_| NotPem)?;
    let mut sections = Vec::new();
    let mut open: Option<(&str, String)> = None;
    for line in text.lines().map(str::trim) {
        if let Some(label) = line.strip_prefix("-----BEGIN ").and_then(|rest| rest.strip_suffix("-----")) {
            if open.replace((label, String::new())).is_some() {
                return Err(NotPem);
            }
        } else if let Some(label) = line.strip_prefix("-----END ").and_then(|rest| rest.strip_suffix("-----")) {
            match open.take() {
                Some((begun, body)) if begun == label => {
                    sections.push((label.to_owned(), STANDARD.decode(body).map_err(|_| NotPem)?));
                }
                Some(_) | None => return Err(NotPem),
            }
        } else if let Some((_, body)) = &mut open {
            body.push_str(line);
        }
    }
    if open.is_some() || sections.is_empty() {
        return Err(NotPem);
    }
    Ok(sections)
}

/// Writes one section in the form that [`sections`] reads.
pub(super) fn encode(label: &str, bytes: &[u8]) -> Vec<u8> {
    let body = STANDARD.encode(bytes);
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in body.as_bytes().chunks(64) {
        text.extend(line.iter().copied().map(char::from));
        text.push('\n');
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text.into_bytes()
}
