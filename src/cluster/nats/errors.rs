//! Answers of NATS as the engine's errors. Their texts come from the engine and are bounded; they have no secrets.

use std::error::Error as StdError;

use async_nats::jetstream::ErrorCode;
use async_nats::{ConnectError, ConnectErrorKind};
use serde::Deserialize;

use crate::cluster::engine::{AppendError, EngineError, EngineErrorKind};
use crate::runtime::excerpt;

/// An error in an answer of JetStream.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct ApiError {
    code: u16,
    #[serde(default)]
    err_code: ErrorCode,
    #[serde(default)]
    description: String,
}

impl ApiError {
    /// Whether a conditional append came too late.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self.err_code, ErrorCode::STREAM_WRONG_LAST_SEQUENCE | ErrorCode::STREAM_WRONG_LAST_SEQUENCE_CONSTANT)
    }

    pub(super) fn is_no_message(&self) -> bool {
        self.err_code == ErrorCode::NO_MESSAGE_FOUND
    }

    pub(super) fn is_no_stream(&self) -> bool {
        self.err_code == ErrorCode::STREAM_NOT_FOUND
    }

    fn kind(&self) -> EngineErrorKind {
        match self.err_code {
            ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM | ErrorCode::STREAM_HEADER_EXCEEDS_MAXIMUM => {
                EngineErrorKind::TooLarge
            }
            ErrorCode::STORAGE_RESOURCES_EXCEEDED
            | ErrorCode::MEMORY_RESOURCES_EXCEEDED
            | ErrorCode::INSUFFICIENT_RESOURCES
            | ErrorCode::ACCOUNT_RESOURCES_EXCEEDED
            | ErrorCode::STREAM_STORE_FAILED => EngineErrorKind::Full,
            ErrorCode::STREAM_NOT_FOUND
            | ErrorCode::STREAM_OFFLINE
            | ErrorCode::STREAM_EXPECTED_LAST_SEQ_PER_SUBJECT_NOT_READY => EngineErrorKind::Unavailable,
            ErrorCode::JETSTREAM_NOT_ENABLED | ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT => EngineErrorKind::Denied,
            _ if self.code == 503 => EngineErrorKind::Unavailable,
            _ => EngineErrorKind::Unexpected,
        }
    }

    pub(super) fn into_error(self, doing: &str) -> EngineError {
        error(self.kind(), format!("{doing}: {} (code {})", self.description, self.err_code.0))
    }

    pub(super) fn into_append_error(self) -> AppendError {
        if self.is_refusal() { AppendError::Refused } else { AppendError::Unknown(self.into_error("store")) }
    }
}

/// Makes an error with a bounded text.
pub(super) fn error(kind: EngineErrorKind, message: impl AsRef<str>) -> EngineError {
    EngineError { kind, message: excerpt::truncate(message.as_ref()) }
}

/// Describes why no connection could be made.
pub(super) fn of_connect(connect: &ConnectError) -> EngineError {
    let kind = match connect.kind() {
        ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation => EngineErrorKind::Denied,
        ConnectErrorKind::TimedOut => EngineErrorKind::TimedOut,
        ConnectErrorKind::ServerParse
        | ConnectErrorKind::Dns
        | ConnectErrorKind::Tls
        | ConnectErrorKind::Io
        | ConnectErrorKind::MaxReconnects => EngineErrorKind::Disconnected,
    };
    if kind == EngineErrorKind::Denied {
        return error(kind, "wrong credentials");
    }
    // The client's own words name the layer, and its sources the reason.
    let mut text = connect.kind().to_string();
    let mut source = connect.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    // It tells a refused login in more than one form.
    if ["authorization", "authentication"].iter().any(|word| text.to_lowercase().contains(word)) {
        return error(EngineErrorKind::Denied, text);
    }
    error(kind, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api_error(code: u16, err_code: u64) -> ApiError {
        serde_json::from_value(serde_json::json!({ "code": code, "err_code": err_code, "description": "d" })).unwrap()
    }

    #[test]
    fn codes_of_jetstream_have_kinds() {
        for (code, err_code, kind) in [
            (400, 10054, EngineErrorKind::TooLarge),
            (500, 10047, EngineErrorKind::Full),
            (503, 10077, EngineErrorKind::Full),
            (404, 10059, EngineErrorKind::Unavailable),
            (503, 10008, EngineErrorKind::Unavailable),
            (503, 10039, EngineErrorKind::Denied),
            (400, 10025, EngineErrorKind::Unexpected),
        ] {
            assert_eq!(api_error(code, err_code).into_error("store").kind, kind, "{err_code}");
        }
        assert_eq!(api_error(400, 10071).into_append_error(), AppendError::Refused);
        assert_eq!(api_error(400, 10164).into_append_error(), AppendError::Refused);
    }

    #[test]
    fn texts_of_the_engine_are_bounded() {
        let long = ApiError { code: 500, err_code: ErrorCode(1), description: "x\n".repeat(1_000) };

        let message = long.into_error("store").message;

        assert!(message.chars().count() <= 201 && !message.contains('\n'), "{message}");
    }
}
