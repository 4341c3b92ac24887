//! The revocations as the admin port lists, adds and removes them.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};

use crate::admin::RevocationActions;
use crate::auth::{
    RestoreError, RevocationError, RevocationId, RevocationRow, TrustStore, revocation_from_json, rfc3339,
};

/// Serves `/revocations` from the trust store.
pub(crate) struct RevocationHandler(pub Arc<TrustStore>);

impl RevocationActions for RevocationHandler {
    fn revoke(&self, body: Bytes) -> (StatusCode, Value) {
        let now = SystemTime::now();
        let outcome =
            revocation_from_json(&body, now).and_then(|revocation| self.0.revocations().revoke(revocation, now));
        match outcome {
            Ok(id) => {
                tracing::info!(%id, "revocation added");
                (StatusCode::OK, json!({ "revoked": true, "id": id.to_string() }))
            }
            Err(error) => (status(&error), json!({ "revoked": false, "detail": error.to_string() })),
        }
    }

    fn list(&self, after: Option<&str>) -> Result<Value, (StatusCode, String)> {
        let after = after.map(|after| RevocationId::parse(after).ok_or_else(invalid_id)).transpose()?;
        let page = self.0.revocations().list(after, SystemTime::now());
        let rows: Vec<_> = page.rows.iter().map(describe).collect();
        Ok(json!({ "revocations": rows, "next": page.next.map(|id| id.to_string()) }))
    }

    fn restore(&self, id: &str) -> Result<(), (StatusCode, String)> {
        let known = RevocationId::parse(id).ok_or(RestoreError::Unknown);
        let outcome = known.and_then(|id| self.0.revocations().restore(&id, SystemTime::now()));
        if matches!(outcome, Ok(()) | Err(RestoreError::StillFiled)) {
            tracing::info!(id, "revocation removed");
        }
        outcome.map_err(|error| {
            let status = match error {
                RestoreError::Unknown => StatusCode::NOT_FOUND,
                RestoreError::Filed | RestoreError::StillFiled => StatusCode::CONFLICT,
            };
            (status, error.to_string())
        })
    }
}

fn status(error: &RevocationError) -> StatusCode {
    match error {
        RevocationError::Full { .. } | RevocationError::Claims => StatusCode::INSUFFICIENT_STORAGE,
        RevocationError::NotJson(_)
        | RevocationError::Form
        | RevocationError::Value
        | RevocationError::Name(_)
        | RevocationError::Ttl
        | RevocationError::File(_)
        | RevocationError::InFile { .. } => StatusCode::BAD_REQUEST,
    }
}

fn invalid_id() -> (StatusCode, String) {
    (StatusCode::BAD_REQUEST, "invalid after: expected the next id of the previous page, 64 hex digits".to_owned())
}

/// Describes an entry. `jti` and `sub` are members of their own, as in a posted body; `claim` names any other claim.
fn describe(row: &RevocationRow) -> Value {
    let mut described = json!({
        "id": row.id.to_string(),
        "value": row.value,
        "until": row.until.map(rfc3339::format),
        "from": row.from.as_str(),
    });
    match row.claim.as_str() {
        short @ ("jti" | "sub") => described[short] = row.value.as_str().into(),
        claim => described["claim"] = claim.into(),
    }
    described
}
