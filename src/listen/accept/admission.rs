//! Counts open connections, in total and for each client address.
//!
//! An IPv6 client is counted by its prefix (`limits.ip6_prefix`). The count goes down when the
//! [`Admitted`] value is dropped. No address takes all of the room, however small the process's limit on open files makes
//! it: the fuller the room, the smaller is the part of one address.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::limits::SharedLimits;
use crate::runtime::file_budget::{FileBudget, FilePermit};
use crate::runtime::shares::OnRefusal;

/// Connections over its limit that one address may hold in order to receive an error response. Further ones are closed
/// at once. Without this bound one address could use up `connections` with connections that only wait to be refused.
const MAX_EXCESS_PER_IP: usize = 16;

/// Counts connections. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Admission(Arc<Inner>);

struct Inner {
    limits: SharedLimits,
    files: FileBudget,
    /// Locked twice for each connection, and never across an await.
    counts: Mutex<Counts>,
    on_refusal: OnRefusal,
}

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    by_ip: HashMap<IpAddr, usize>,
}

/// The permit of an admitted connection. Dropping it releases its place.
#[derive(Debug)]
pub struct Admitted {
    inner: Arc<Inner>,
    ip: IpAddr,
    /// Whether the address is over its limit.
    pub is_over_ip_limit: bool,
    /// Held for its drop.
    _file: FilePermit,
}

/// A limit that a new connection would exceed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionLimit {
    /// `limits.connections`, or only reserved file descriptors are left.
    All,
    /// `limits.connections_per_ip`, or the part of one address in a room that is nearly full.
    PerIp,
}

impl ConnectionLimit {
    /// Returns the metric label, which is the key of the limit.
    pub fn label(self) -> &'static str {
        match self {
            Self::All => "connections",
            Self::PerIp => "connections_per_ip",
        }
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admission").field("counts", &self.counts).finish_non_exhaustive()
    }
}

impl Admission {
    /// Counts against `connections` and `connections_per_ip` of the limits in force. `on_refusal` is called for each
    /// connection of an address over its limit.
    pub fn new(limits: SharedLimits, files: FileBudget, on_refusal: OnRefusal) -> Self {
        Self(Arc::new(Inner { limits, files, counts: Mutex::default(), on_refusal }))
    }

    /// Admits a connection if there is room.
    ///
    /// The limit of an address is `connections_per_ip`, and at most three connections for each that is still free. An
    /// address over its limit is admitted up to 16 times more while there is room, and marked as such, so that it can be
    /// answered. Without `is_ip_limited` the address has no limit.
    ///
    /// # Errors
    /// Returns the exceeded limit.
    pub fn admit(&self, ip: IpAddr, is_ip_limited: bool) -> Result<Admitted, ConnectionLimit> {
        let (ip, max, max_per_ip) = {
            let limits = self.0.limits.load();
            (limits.network(ip), limits.connections, limits.connections_per_ip)
        };
        let mut counts = self.0.counts.lock();
        let from_ip = counts.by_ip.get(&ip).copied().unwrap_or_default();
        let free = max.saturating_sub(counts.all).min(self.0.files.free_for_connections());
        let max_per_ip = max_per_ip.min(FileBudget::max_connections_per_address(free));
        // In a full room, everybody is refused for the room's sake.
        let is_over_ip_limit = is_ip_limited && free > 0 && from_ip >= max_per_ip;
        if is_over_ip_limit {
            (self.0.on_refusal)();
        }
        if is_over_ip_limit && from_ip - max_per_ip >= MAX_EXCESS_PER_IP.min(free) {
            return Err(ConnectionLimit::PerIp);
        }
        if counts.all >= max {
            return Err(ConnectionLimit::All);
        }
        let file = self.0.files.acquire_connection().ok_or(ConnectionLimit::All)?;
        counts.all += 1;
        counts.by_ip.insert(ip, from_ip + 1);
        Ok(Admitted { inner: self.0.clone(), ip, is_over_ip_limit, _file: file })
    }
}

impl Admitted {
    /// Moves the permit to another address, after a proxy has reported the client.
    ///
    /// # Errors
    /// Returns the exceeded limit, like [`Admission::admit`].
    pub fn reassign(self, ip: IpAddr, is_ip_limited: bool) -> Result<Self, ConnectionLimit> {
        let admission = Admission(self.inner.clone());
        // Release the proxy's place first, so that the client can have it.
        drop(self);
        admission.admit(ip, is_ip_limited)
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut counts = self.inner.counts.lock();
        counts.all -= 1;
        if let Some(from_ip) = counts.by_ip.get_mut(&self.ip) {
            *from_ip -= 1;
            if *from_ip == 0 {
                counts.by_ip.remove(&self.ip);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use arc_swap::ArcSwap;

    use super::*;
    use crate::config::default_limits;
    use crate::limits::Limits;

    fn admission(connections: usize, connections_per_ip: usize) -> Admission {
        let limits = Limits { connections, connections_per_ip, ..default_limits() };
        let limits = Arc::new(ArcSwap::from_pointee(limits));
        let files = FileBudget::new(limits.clone(), usize::MAX, Arc::new(|| ()));
        Admission::new(limits, files, Arc::new(|| ()))
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_dropped_permit_makes_room() {
        let admission = admission(2, 2);
        let first = admission.admit(ip("127.0.0.1"), true).expect("room");
        let _second = admission.admit(ip("127.0.0.1"), true).expect("room");
        assert!(admission.admit(ip("127.0.0.2"), true).is_err_and(|limit| limit == ConnectionLimit::All));

        drop(first);

        assert!(admission.admit(ip("127.0.0.2"), true).is_ok());
    }

    #[test]
    fn an_address_over_its_limit_is_admitted_for_an_error_response() {
        let admission = admission(10, 1);
        let first = admission.admit(ip("2001:db8::1"), true).expect("room");
        let neighbour = admission.admit(ip("2001:db8::2"), true).expect("room");
        let stranger = admission.admit(ip("2001:db8:0:1::1"), true).expect("room");

        assert!(!first.is_over_ip_limit);
        assert!(neighbour.is_over_ip_limit, "the same /64");
        assert!(!stranger.is_over_ip_limit);
    }

    #[test]
    fn a_client_behind_a_proxy_is_counted_for_itself() {
        let admission = admission(10, 1);
        let through_proxy = |client: &str| {
            let admitted = admission.admit(ip("10.0.0.1"), false).expect("room");
            admitted.reassign(ip(client), true).expect("room")
        };

        let first = through_proxy("192.0.2.1");
        let other = through_proxy("192.0.2.2");
        let second = through_proxy("192.0.2.1");

        assert!(!first.is_over_ip_limit && !other.is_over_ip_limit);
        assert!(second.is_over_ip_limit);
        drop((first, second));
        assert!(!through_proxy("192.0.2.1").is_over_ip_limit);
        assert!(admission.admit(ip("10.0.0.1"), true).is_ok_and(|own| !own.is_over_ip_limit), "nothing is left behind");
    }

    #[test]
    fn one_address_cannot_use_up_all_connections() {
        let admission = admission(1000, 1);
        let all: Vec<_> = (0..1000).map_while(|_| admission.admit(ip("192.0.2.1"), true).ok()).collect();

        assert_eq!(all.len(), 1 + MAX_EXCESS_PER_IP);
        assert!(admission.admit(ip("192.0.2.2"), true).is_ok_and(|other| !other.is_over_ip_limit));
        assert!(admission.admit(ip("192.0.2.1"), false).is_ok_and(|proxy| !proxy.is_over_ip_limit));
    }

    #[test]
    fn one_address_leaves_a_quarter_of_the_room_to_others_however_few_files_there_are() {
        let limits = Arc::new(ArcSwap::from_pointee(Limits { reserved_files: 128, ..default_limits() }));
        let files = FileBudget::new(limits.clone(), 512, Arc::new(|| ()));
        let admission = Admission::new(limits, files.clone(), Arc::new(|| ()));
        let from = |text: &str| {
            let address = ip(text);
            (0..1000).map_while(|_| admission.admit(address, true).ok()).collect::<Vec<_>>()
        };
        let readers: Vec<_> =
            (0..200).map(|number| admission.admit([127, 0, 1, number % 40].into(), true).expect("room")).collect();

        let silent = from("127.1.0.1");
        let others: Vec<_> = (0..40).map(|number| admission.admit([127, 0, 2, number].into(), true)).collect();

        assert!(readers.iter().all(|reader| !reader.is_over_ip_limit));
        assert!(
            (138..=142).contains(&silent.len()),
            "three quarters of 184, and a few for the answer: {}",
            silent.len()
        );
        assert!(silent[138..].iter().all(|refused| refused.is_over_ip_limit));
        assert!(others.iter().all(|other| other.as_ref().is_ok_and(|other| !other.is_over_ip_limit)));
        drop((readers, others, silent));
        assert_eq!(files.free_for_connections(), 384, "nothing is left behind");
    }

    #[test]
    fn many_that_take_what_they_can_leave_room_for_newcomers() {
        let admission = admission(1000, 1000);
        let mut held = Vec::new();
        for number in (0..10).cycle().take(10_000) {
            held.extend(admission.admit([192, 0, 2, number].into(), true).ok());
        }

        assert!((960..=990).contains(&held.len()), "{}", held.len());
        assert!(admission.admit(ip("198.51.100.1"), true).is_ok_and(|newcomer| !newcomer.is_over_ip_limit));
    }
}
