//! Attacks by connections: silent ones, short ones, and pipelines that nobody reads.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::{Target, again, hold};
use crate::Outcome;
use crate::abuse::wire::{CONNECT_BYTES, Wire, count};

/// Connects and resets without a byte, 500 times a second, from 10 addresses.
pub fn connect_and_reset(target: &Target) -> Outcome<()> {
    let (start, mut number) = (Instant::now(), 0_u32);
    while Instant::now() < target.until {
        // The handshake's turn is waited for where the connection is, so it stays a moment.
        if let Ok(wire) = Wire::connect(target.http1, (number % 10 + 1) as u16, None) {
            wire.reset();
        }
        number += 1;
        std::thread::sleep((start + number * Duration::from_millis(2)).saturating_duration_since(Instant::now()));
    }
    Ok(())
}

/// Asks for a path without a route, again and again: each refusal is logged.
pub fn be_refused(target: &Target) -> Outcome<()> {
    again(target, || {
        let mut wire = Wire::connect(target.http1, 1, None)?;
        let mut part = [0; 64 * 1024];
        while Instant::now() < target.until {
            wire.send("GET /nowhere HTTP/1.1\r\nhost: x\r\n\r\n".repeat(20).as_bytes())?;
            wire.read(&mut part)?;
        }
        Ok(())
    })
}

/// Opens 700 connections and says nothing.
pub fn stay_silent(target: &Target) -> Outcome<()> {
    hold(
        target,
        700,
        2800,
        |_| {
            count(CONNECT_BYTES);
            Wire::connect(target.http1, 1, None)
        },
        |wire| wire.is_closed(),
    )
}

/// Sends 64 pipelines of requests to the admin port and reads none of the answers.
pub fn leave_pipelines(target: &Target) -> Outcome<()> {
    let connect = |_| leave_pipeline(target.admin);
    hold(target, 64, 256, connect, |wire| wire.is_closed())
}

fn leave_pipeline(to: SocketAddr) -> std::io::Result<Wire> {
    let mut wire = Wire::connect(to, 1, Some(2048))?;
    wire.send("GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(40).as_bytes())?;
    Ok(wire)
}
