//! The certificate's end.

use std::time::Duration;

use super::StreamCheck;
use crate::doctor::finding::{FindingKind, StreamFinding};
use crate::doctor::observations::Observations;

/// Looks at how long the server's certificate is valid. One that is not valid any more is refused at the handshake.
pub(super) struct CertificateEnd;

impl StreamCheck for CertificateEnd {
    fn check(&self, seen: &Observations) -> Option<StreamFinding> {
        let left = seen.certificate_end?.duration_since(seen.now).unwrap_or_default();
        let days = left.as_secs() / DAY.as_secs();
        let found = format!("the certificate ends in {days} days");
        (left < MIN_LEFT).then_some(StreamFinding { kind: FindingKind::Certificate, found, remedy: REMEDY })
    }
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The time that a certificate should still be valid: automatic renewal happens earlier.
const MIN_LEFT: Duration = Duration::from_secs(14 * 24 * 60 * 60);

const REMEDY: &str =
    "renew it, and find out why that did not happen by itself; rillgate reads new files without a restart";
