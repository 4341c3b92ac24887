//! An address that stays reserved across restarts of a program.
//!
//! Always true: nothing else uses the IP address, a loopback address, so its port stays free while the program
//! restarts. A port of 127.0.0.1 does not while other tests run.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU8, Ordering};

/// Reserves a loopback address that nothing else uses, with a port that the system chose.
///
/// # Panics
/// Panics if a process reserves more than 249 of them.
pub fn reserve() -> SocketAddr {
    static COUNT: AtomicU8 = AtomicU8::new(1);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    assert!(number < 250, "no more addresses");
    let [.., high, low] = std::process::id().to_be_bytes();
    // Outside 127.0.0.0/16, which the other tests use.
    let address = Ipv4Addr::new(127, 64 | (high & 63), low, number);
    let listener = TcpListener::bind((address, 0)).expect("a loopback address");
    listener.local_addr().expect("bound")
}
