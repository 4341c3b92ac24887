//! The key that two `POST`s of one stream share, as digests.
//!
//! Each value has its length in front, so two different requests never have one key. Whoever has the key learns nothing of
//! the request.

use http::header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderName, HeaderValue};

use crate::auth::Grant;
use crate::http::request::trace::hex;
use crate::http::response::rejection::Rejection;
use crate::route::{PostKeySource, PostSettings};
use crate::runtime::field_encoder::FieldEncoder;
use crate::stream::OpeningRequest;

/// The header fields of a `POST` that go upstream. All of them belong to the key.
pub(super) struct PostFields {
    pub(super) fields: Vec<(HeaderName, HeaderValue)>,
    /// The digest of those that the route lists, which may be the client's own credentials.
    pub(super) credentials: [u8; 32],
}

/// The identity of a `POST`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PostKey {
    /// The digest that all requests of one stream share. `None`: the request has a stream of its own.
    pub(super) shared: Option<[u8; 32]>,
    /// The digest of the body.
    pub(super) body: [u8; 32],
    /// The subject of the token that opens the stream. `None`: nobody's.
    pub(super) subject: Option<[u8; 32]>,
    /// See [`PostFields::credentials`].
    pub(super) credentials: [u8; 32],
}

/// The parts of a request that a key is made of.
pub(super) struct KeyParts<'r> {
    pub(super) route: &'r str,
    pub(super) path: &'r str,
    pub(super) shared: &'r [(String, String)],
    pub(super) fields: &'r PostFields,
    pub(super) subject: Option<[u8; 32]>,
    /// Whether the route's clients have no subjects.
    pub(super) is_public: bool,
    pub(super) body: &'r [u8],
}

impl PostFields {
    /// Collects the fields from a request.
    ///
    /// # Errors
    /// 400 for a field that occurs twice.
    pub(super) fn from_head(head: &Parts, settings: &PostSettings) -> Result<Self, Rejection> {
        let mut fields = Vec::new();
        for name in [CONTENT_TYPE, CONTENT_ENCODING] {
            fields.extend(single(head, &name)?.map(|value| (name, value)));
        }
        fields.extend(list(head, &ACCEPT).map(|value| (ACCEPT, value)));
        let mut encoder = FieldEncoder::new("rillgate post credentials 1");
        for name in &settings.forward_headers {
            let value = single(head, name)?;
            encoder.text(name.as_str()).number(usize::from(value.is_some()));
            encoder.bytes(value.as_ref().map_or(&[], |value| value.as_bytes()));
            fields.extend(value.map(|value| (name.clone(), value)));
        }
        Ok(Self { fields, credentials: encoder.digest() })
    }
}

impl PostKey {
    /// Makes the key of a request.
    ///
    /// # Errors
    /// 400 if the header field of the route's key is absent or occurs twice.
    pub(super) fn new(settings: &PostSettings, head: &Parts, parts: &KeyParts<'_>) -> Result<Self, Rejection> {
        let mut encoder = FieldEncoder::new("rillgate post 1");
        encoder.text("POST").text(parts.route).text(parts.path).number(parts.shared.len());
        for (name, value) in parts.shared {
            encoder.text(name).text(value);
        }
        encoder.number(parts.fields.fields.len());
        for (name, value) in &parts.fields.fields {
            encoder.text(name.as_str()).bytes(value.as_bytes());
        }
        let is_bound = !settings.across_subjects;
        encoder.number(usize::from(is_bound));
        if is_bound {
            encoder.bytes(parts.subject.as_ref().map_or(&[], |subject| &subject[..]));
        }
        let is_shared = match &settings.key {
            PostKeySource::Each => false,
            PostKeySource::Body => {
                encoder.text("body").bytes(parts.body);
                true
            }
            PostKeySource::Header(name) => {
                let value = single(head, name)?.filter(|value| !value.is_empty());
                let missing = || Rejection::malformed(format!("Missing header {name:?}, which names the request."));
                encoder.text("header").text(name.as_str()).bytes(value.ok_or_else(missing)?.as_bytes());
                true
            }
        };
        // Where a route does not enforce its rules, clients without a token have no subject that could keep them apart.
        let is_known = parts.subject.is_some() || parts.is_public || settings.across_subjects;
        Ok(Self {
            shared: (is_shared && is_known).then(|| encoder.digest()),
            body: FieldEncoder::new("rillgate post body 1").bytes(parts.body).digest(),
            subject: parts.subject,
            credentials: parts.fields.credentials,
        })
    }

    /// Returns the name of a stream that this request opens: 128 bits that nobody finds who lacks the request or the salt.
    pub(super) fn stream_name(&self, salt: &[u8; 16]) -> String {
        let mut encoder = FieldEncoder::new("rillgate post name 1");
        encoder.bytes(self.shared.as_ref().map_or(&[], |shared| &shared[..])).bytes(salt);
        hex(&encoder.digest()[..16])
    }

    /// Returns the key by which the store finds the stream of an equal request. Not the digest that they share, which is
    /// half of the stream's name. `None`: the request has a stream of its own.
    pub(super) fn stored_key(&self) -> Option<[u8; 32]> {
        Some(FieldEncoder::new("rillgate stored post 1").bytes(&self.shared?).digest())
    }

    /// Returns this request as the store keeps it, with the salt of the stream's name. `None`: as for [`Self::stored_key`].
    pub(super) fn opening_request(&self, salt: [u8; 16]) -> Option<OpeningRequest> {
        let mut encoder = FieldEncoder::new("rillgate stored post body 1");
        encoder.bytes(&self.shared?).bytes(&salt).bytes(&self.body);
        Some(OpeningRequest { key: self.stored_key()?, salt, body: encoder.digest() })
    }
}

/// Returns the digest of a grant's subject, if there is a grant.
pub(super) fn subject(grant: Option<&Grant>) -> Option<[u8; 32]> {
    grant.map(Grant::subject_digest)
}

/// Returns the pair of a stream's key that tells it from all other streams of its path. `token` names it in its URL. The
/// name cannot be that of a header field or of a parameter, and its colon keeps the value out of logs.
pub(super) fn key_pair(
    settings: &PostSettings,
    token: &str,
    subject: Option<[u8; 32]>,
    credentials: &[u8; 32],
) -> (String, String) {
    let mut encoder = FieldEncoder::new("rillgate post stream 1");
    let bound = subject.filter(|_| !settings.across_subjects);
    encoder.text(token).bytes(bound.as_ref().map_or(&[], |subject| &subject[..])).bytes(credentials);
    ("POST:".to_owned(), hex(&encoder.digest()))
}

/// Returns the value of a field that may be sent in several lines (RFC 9110, 5.3).
fn list(head: &Parts, name: &HeaderName) -> Option<HeaderValue> {
    let values: Vec<_> = head.headers.get_all(name).iter().map(HeaderValue::as_bytes).collect();
    HeaderValue::from_bytes(&values.join(&b", "[..])).ok().filter(|value| !value.is_empty())
}

fn single(head: &Parts, name: &HeaderName) -> Result<Option<HeaderValue>, Rejection> {
    let mut values = head.headers.get_all(name).iter();
    let value = values.next();
    match values.next() {
        Some(_) => Err(Rejection::malformed(format!("Duplicate header {name:?}."))),
        // Copied: it is kept with the stream, and would keep the connection's input buffer alive.
        None => Ok(value.and_then(|value| HeaderValue::from_bytes(value.as_bytes()).ok())),
    }
}

#[cfg(test)]
mod tests;
