//! `[routes.post]`: streams that are opened by `POST`.
//!
//! The defaults of the route's other tables that differ beside it are in `routes` and `delivery`.

use std::time::Duration;

use http::HeaderName;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, FORWARDED, HOST,
};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::auth::is_token_header;
use super::parsers;
use crate::config::engine::{Distinct, List, Value, duration, keys, size};
use crate::route::{Access, PostKeySource, PostSettings, ShareSettings};
use crate::upstream::UpstreamSettings;

keys! {
    pub(super) struct PostTable<'a> {
        /// The part of a request that makes two of them one stream. "body": the body. "header:NAME", such as
        /// "header:Idempotency-Key": the value of that header. "each": nothing, every POST is a stream of its own.
        key: &'a str = required,
        /// true: clients with other token subjects share a stream too. A public route needs it unless key = "each".
        across_subjects: bool = "false",
        /// Maximum size of a request body.
        body_bytes: usize = "1MiB" in size("1KiB", "64MiB"),
        /// Time within which a request body must have arrived.
        body_timeout: Duration = "30s" in duration("10ms", "10m"),
        /// Request headers that go upstream besides content-type, content-encoding and accept. They are part of the key.
        forward_headers: List<'a, &'a str> = "[]",
        /// true: the producer is idempotent, so a request that broke off is sent again.
        retry: bool = "false",
    }
}

/// The parts of a route that its `post` table must fit.
#[derive(Clone, Copy)]
pub(super) struct PostContext<'c> {
    pub(super) access: Option<&'c Access>,
    pub(super) upstream: Option<&'c UpstreamSettings>,
    pub(super) share: &'c ShareSettings,
}

/// Reads `[routes.post]`.
pub(super) fn post(table: &PostTable<'_>, context: PostContext<'_>) -> PostSettings {
    let key = table.key.value().and_then(|value| key_source(&value)).unwrap_or(PostKeySource::Each);
    let across_subjects = table.across_subjects.get();
    if context.access == Some(&Access::Public) && key != PostKeySource::Each && !across_subjects {
        table.key.report(
            "on a public route everyone with the same key would share a stream: set across_subjects = true if that is \
             wanted, else key = \"each\"",
        );
    }
    let (mut forward_headers, mut distinct) = (Vec::new(), Distinct::new());
    for value in table.forward_headers.items() {
        match value.read().map(str::parse::<HeaderName>) {
            Some(Ok(name)) => match objection(&name, context) {
                Some(objection) => value.report(format!("the header {objection}")),
                None => forward_headers.extend(distinct.insert(&value, name.clone()).then_some(name)),
            },
            Some(Err(_)) => value.report("invalid header name (RFC 9110, 5.1)"),
            None => {}
        }
    }
    PostSettings {
        key,
        across_subjects,
        body_bytes: table.body_bytes.get(),
        body_timeout: table.body_timeout.get(),
        forward_headers,
        retry: table.retry.get(),
    }
}

/// Writes the defaults that differ beside `[routes.post]` into the effective form of a configuration `file`.
pub(in crate::config) fn show_defaults(effective: &mut serde_json::Value, file: &DeTable<'_>) {
    let Some(DeValue::Array(given)) = file.get("routes").map(Spanned::get_ref) else { return };
    let shown = effective["routes"].as_array_mut().into_iter().flatten();
    for (shown, given) in shown.zip(given.iter()) {
        let DeValue::Table(given) = given.get_ref() else { continue };
        if given.get("post").is_none() {
            continue;
        }
        for (table, key, default) in DEFAULTS {
            let inner = given.get(*table).and_then(|value| value.get_ref().as_table());
            let given = if table.is_empty() { Some(given) } else { inner };
            if given.is_none_or(|given| given.get(*key).is_none()) {
                let shown = if table.is_empty() { &mut *shown } else { &mut shown[*table] };
                shown[*key] = (*default).into();
            }
        }
    }
}

/// The defaults that differ: table, key and value. They are applied in `routes` and `delivery`.
const DEFAULTS: &[(&str, &str, &str)] = &[
    ("", "on_end", "complete"),
    ("replay", "ids", "fill"),
    ("replay", "start", "oldest"),
    ("delivery", "answer_within", "0s"),
    ("delivery", "when_down", "refuse"),
    ("delivery", "linger", "10m"),
];

fn key_source(value: &Value<'_>) -> Option<PostKeySource> {
    let text = value.read()?;
    let source = match text {
        "body" => Some(PostKeySource::Body),
        "each" => Some(PostKeySource::Each),
        _ => text.strip_prefix("header:").and_then(|name| name.parse().ok()).map(PostKeySource::Header),
    };
    if source.is_none() {
        value.report("expected \"body\", \"each\" or \"header:NAME\"");
    }
    source
}

/// Returns the reason why a client's header must not go upstream, or `None` if it may.
fn objection(name: &HeaderName, context: PostContext<'_>) -> Option<&'static str> {
    let sent = [CONTENT_TYPE, CONTENT_ENCODING, ACCEPT];
    if parsers::is_hop_by_hop(name) {
        return Some("applies to a single connection (RFC 9110, 7.6.1)");
    }
    if sent.contains(name) {
        return Some("is sent in any case");
    }
    if [HOST, CONTENT_LENGTH, EXPECT, ACCEPT_ENCODING].contains(name) || name == "last-event-id" {
        return Some("is set by the gateway");
    }
    if *name == FORWARDED || name.as_str().starts_with("x-forwarded-") {
        return Some("is never sent upstream: the client may have written it (listeners.client_address)");
    }
    if is_token_header(context.access, name) {
        return Some("is already used for the token (auth.token_from), and such a token is never sent upstream");
    }
    let of_claims = context.share.claims.iter().map(|(header, _)| header);
    if context.share.headers.iter().chain(of_claims).any(|shared| shared == name) {
        return Some("is already shared (share)");
    }
    let is_configured = context.upstream.is_some_and(|upstream| {
        let is_token = upstream.token.is_some() && *name == AUTHORIZATION;
        is_token || upstream.headers.iter().any(|(configured, _)| configured == name)
    });
    is_configured.then_some("is already set by the upstream's headers or token")
}
