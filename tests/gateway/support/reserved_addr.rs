//! An address that stays reserved across restarts of a program.
//!
//! Always true: nothing else uses the IP address, a loopback address, so its port stays free while the program
//! restarts. A port of 127.0.0.1 does not while other tests run.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

/// Reserves a loopback address that nothing else uses, with a port that the system chose.
///
/// # Panics
/// Panics if a process reserves more than 747 of them.
pub fn reserve() -> SocketAddr {
    static COUNT: AtomicU16 = AtomicU16::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let block = u8::try_from(number / 249).unwrap_or(u8::MAX);
    assert!(block < 3, "no more addresses");
    let [.., high, low] = std::process::id().to_be_bytes();
    // Outside 127.0.0.0/16, which the other tests use.
    let second = 64 * (block + 1) + (high & 63);
    let last = u8::try_from(number % 249 + 1).expect("at most 249");
    let address = Ipv4Addr::new(127, second, low, last);
    let listener = TcpListener::bind((address, 0)).expect("a loopback address");
    listener.local_addr().expect("bound")
}
