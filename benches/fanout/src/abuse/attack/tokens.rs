//! Attacks by tokens: signatures that do not hold, and keys that nobody has.

use std::time::{Duration, Instant};

use super::{Target, again};
use crate::Outcome;
use crate::abuse::wire::{Http2, Wire};

/// The file in the folder with a token of about 4 KB whose signature is wrong.
pub const BAD_SIGNATURE: &str = "bad-signature";

/// The file with tokens whose `kid` is made up, one a line.
pub const UNKNOWN_KEYS: &str = "unknown-keys";

/// Shows the same bad token in every request of a connection: 17 bytes each, the token in HPACK's table.
pub fn show_bad_signatures(target: &Target) -> Outcome<()> {
    let token = std::fs::read_to_string(target.folder.join(BAD_SIGNATURE))?;
    again(target, || {
        let authorization = vec![("authorization", format!("Bearer {}", token.trim()))];
        let mut connection = Http2::connect(target.http2, 1, true, None, authorization)?;
        while Instant::now() < target.until {
            connection.request((0..100).map(|_| "/feed/0".to_owned()))?;
            connection.heads(100)?;
        }
        Ok(())
    })
}

/// Shows a token with a made-up `kid` each second.
pub fn show_unknown_keys(target: &Target) -> Outcome<()> {
    let tokens = std::fs::read_to_string(target.folder.join(UNKNOWN_KEYS))?;
    for token in tokens.lines().cycle() {
        if Instant::now() > target.until {
            break;
        }
        let mut wire = Wire::connect(target.http1, 1, None)?;
        let sent = wire.send(
            format!("GET /feed/0 HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n")
                .as_bytes(),
        );
        let _ = sent.and_then(|()| wire.read(&mut [0; 4096]));
        std::thread::sleep(Duration::from_secs(1));
    }
    Ok(())
}
