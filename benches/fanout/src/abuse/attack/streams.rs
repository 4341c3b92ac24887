//! Attacks by streams of HTTP/2: opened and reset, or opened and held.

use std::cell::Cell;
use std::net::UdpSocket;
use std::time::Instant;

use super::{Target, again, hold};
use crate::Outcome;
use crate::abuse::wire::Http2;

/// Streams in one batch: fewer than `limits.h2_streams` allows.
const BATCH: usize = 200;

/// Requests, waits for the heads, resets, and repeats on one connection whose window stays shut.
pub fn reset_without_window(target: &Target) -> Outcome<()> {
    again(target, || {
        let mut connection = Http2::connect(target.http2, 1, false, None, Vec::new())?;
        while Instant::now() < target.until {
            let streams = connection.request((0..BATCH).map(|_| "/open/a".to_owned()))?;
            connection.heads(BATCH)?;
            connection.reset(&streams)?;
        }
        Ok(())
    })
}

/// Opens made-up keys whose upstream is unreachable, and leaves.
pub fn reset_unreachable_keys(target: &Target) -> Outcome<()> {
    reset_keys(target, "/unreachable/")
}

/// Opens made-up keys, each of which connects to the producer, and leaves.
pub fn reset_new_keys(target: &Target) -> Outcome<()> {
    reset_keys(target, "/open/")
}

/// Takes 600 streams of an upstream whose host name is never resolved, from 3 addresses.
pub fn resolve_names(target: &Target) -> Outcome<()> {
    // The name server: it takes questions and answers none.
    let _server = UdpSocket::bind(crate::abuse::situation::NAME_SERVER)?;
    hold_keys(target, 3, 200, 3, |key| format!("/unresolved/{key}"), None)
}

/// Opens keys in batches of 50 on one connection that reads, and resets each after its head.
fn reset_keys(target: &Target, prefix: &str) -> Outcome<()> {
    let key = Cell::new(0_usize);
    again(target, || {
        let mut connection = Http2::connect(target.http2, 1, true, None, Vec::new())?;
        while Instant::now() < target.until {
            let first = key.replace(key.get() + 50);
            let streams = connection.request((first..first + 50).map(|key| format!("{prefix}{key}")))?;
            connection.heads(50)?;
            connection.reset(&streams)?;
        }
        Ok(())
    })
}

/// Takes 2,000 subscriptions with 8 connections of one address.
pub fn hold_many(target: &Target) -> Outcome<()> {
    hold_keys(target, 8, 250, 1, |key| format!("/open/{key}"), None)
}

/// Takes 10,000 subscriptions of one stream, with windows of 0.
pub fn hold_without_window(target: &Target) -> Outcome<()> {
    hold_keys(target, 40, 250, 10, |_| "/open/a".to_owned(), Some(0))
}

/// Takes 10,000 streams of a producer that greets with 8 MB, with windows of 0, from 50 addresses.
pub fn hold_greeted(target: &Target) -> Outcome<()> {
    hold_keys(target, 50, 200, 50, |key| format!("/open/{key}"), Some(0))
}

/// Takes 40 streams with 8 MB each, which are stored.
pub fn fill_store(target: &Target) -> Outcome<()> {
    hold_keys(target, 1, 40, 1, |key| format!("/open/{key}"), Some(0))
}

/// Holds connections with `each` streams from some addresses.
fn hold_keys(
    target: &Target,
    connections: usize,
    each: usize,
    addresses: usize,
    path: impl Fn(usize) -> String,
    window: Option<u32>,
) -> Outcome<()> {
    let connect = |number: usize| {
        let from = (number % addresses + 1) as u16;
        let mut connection = Http2::connect(target.http2, from, false, window, Vec::new())?;
        connection.request((number * each..(number + 1) * each).map(&path))?;
        Ok(connection)
    };
    hold(target, connections, 4 * connections, connect, Http2::is_closed)
}
