//! Name resolution, once for all who wait for a host.
//!
//! The system's resolver blocks its thread, for twenty seconds or more if a name server does not answer, and cannot be
//! interrupted. Each lookup therefore has a thread of its own, there is one lookup of a host at a time, and few of all
//! hosts together. Who waits for a host gets the same answer, and an answer is kept for a few seconds. A lookup that
//! nobody waits for any more still ends by itself, and counts until then.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::fair_semaphore::{FairPermit, FairSemaphore};
use super::shares::OnRefusal;
use super::workers;

/// Resolves the names of upstreams and issuers. Cheap to clone.
#[derive(Clone)]
pub struct Resolver(Arc<Inner>);

struct Inner {
    lookup: Box<Lookup>,
    lookups: FairSemaphore<Arc<str>>,
    /// By name in lower case. Never held across an await.
    hosts: Mutex<HashMap<Arc<str>, HostState>>,
}

/// Resolves a name and blocks until its end.
type Lookup = dyn Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync;

/// The addresses of a host with port 0, or the error's kind and text.
type Answer = Result<Arc<[SocketAddr]>, (io::ErrorKind, Arc<str>)>;

#[derive(Clone)]
enum HostState {
    /// A lookup is in progress. It sends its answer once.
    InProgress(watch::Receiver<Option<Answer>>),
    /// The last lookup's answer, which is used until this time.
    Answered(Answer, Instant),
}

/// A lookup on its thread.
struct RunningLookup {
    inner: Arc<Inner>,
    host: Arc<str>,
    answer: Option<Answer>,
    sender: watch::Sender<Option<Answer>>,
    _permit: FairPermit<Arc<str>>,
}

impl Resolver {
    /// Creates the resolver of a gateway. `on_refusal` is called when an owner with as many lookups in progress as it may
    /// have has waited in vain.
    pub fn new(on_refusal: OnRefusal) -> Self {
        Self::with_lookup(on_refusal, |host| Ok((host, 0).to_socket_addrs()?.collect()))
    }

    fn with_lookup(
        on_refusal: OnRefusal,
        lookup: impl Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static,
    ) -> Self {
        let lookups = FairSemaphore::new(MAX_LOOKUPS, MAX_LOOKUPS_PER_OWNER, on_refusal);
        Self(Arc::new(Inner { lookup: Box::new(lookup), lookups, hosts: Mutex::default() }))
    }

    /// Returns the addresses of `host` with this port, in the system's order of preference. `owner` is who asks: an
    /// upstream or an issuer. Cancel-safe; a lookup that has begun goes on.
    ///
    /// # Errors
    /// The system's error; `TimedOut` if there is no answer until `deadline`.
    pub async fn resolve(&self, owner: &str, host: &str, port: u16, deadline: Instant) -> io::Result<Vec<SocketAddr>> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let host: Arc<str> = host.to_ascii_lowercase().into();
        let answer = match self.0.known(&host) {
            Some(HostState::Answered(answer, _)) => answer,
            Some(HostState::InProgress(answer)) => wait(answer, deadline).await?,
            None => {
                let permit = self.0.lookups.acquire_until(Some(owner.into()), deadline).await;
                let permit = permit.ok_or(io::ErrorKind::TimedOut)?;
                // Another caller may have begun meanwhile.
                match self.0.known_or_start(&host, permit)? {
                    HostState::Answered(answer, _) => answer,
                    HostState::InProgress(answer) => wait(answer, deadline).await?,
                }
            }
        };
        match answer {
            Ok(addresses) => Ok(addresses.iter().map(|address| with_port(*address, port)).collect()),
            Err((kind, text)) => Err(io::Error::new(kind, &*text)),
        }
    }
}

impl Inner {
    /// Returns the lookup in progress, or the last answer if it may still be used.
    fn known(&self, host: &str) -> Option<HostState> {
        self.hosts.lock().get(host).filter(|state| state.is_usable()).cloned()
    }

    fn known_or_start(self: &Arc<Self>, host: &Arc<str>, permit: FairPermit<Arc<str>>) -> io::Result<HostState> {
        let (sender, receiver) = watch::channel(None);
        {
            let mut hosts = self.hosts.lock();
            hosts.retain(|_, state| state.is_usable());
            if let Some(known) = hosts.get(host) {
                return Ok(known.clone());
            }
            hosts.insert(host.clone(), HostState::InProgress(receiver.clone()));
        }
        let (inner, host) = (self.clone(), host.clone());
        let running = RunningLookup { inner, host, answer: None, sender, _permit: permit };
        workers::thread("resolve", move || running.run())?;
        Ok(HostState::InProgress(receiver))
    }
}

impl HostState {
    fn is_usable(&self) -> bool {
        match self {
            Self::InProgress(_) => true,
            Self::Answered(_, until) => Instant::now() < *until,
        }
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").field("hosts", &self.0.hosts.lock().len()).finish_non_exhaustive()
    }
}

impl RunningLookup {
    /// Blocks until the answer is there, and passes it on when it is dropped.
    fn run(mut self) {
        let addresses = (self.inner.lookup)(&self.host);
        self.answer.replace(addresses.map(Arc::from).map_err(|error| (error.kind(), error.to_string().into())));
    }
}

impl Drop for RunningLookup {
    /// Passes the answer on. If there is none, the thread could not be started or has panicked.
    fn drop(&mut self) {
        let answer = self.answer.take().unwrap_or_else(|| Err((io::ErrorKind::Other, "the lookup failed".into())));
        let time = if answer.is_ok() { ANSWER_TIME } else { ERROR_TIME };
        let state = HostState::Answered(answer.clone(), Instant::now() + time);
        self.inner.hosts.lock().insert(self.host.clone(), state);
        self.sender.send_replace(Some(answer));
    }
}

async fn wait(mut answer: watch::Receiver<Option<Answer>>, deadline: Instant) -> io::Result<Answer> {
    match timeout_at(deadline, answer.wait_for(Option::is_some)).await {
        Ok(Ok(answer)) => Ok(answer.clone().expect("waited for")),
        Ok(Err(_)) => Err(io::Error::other("the lookup failed")),
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// Keeps the scope of an IPv6 address.
fn with_port(mut address: SocketAddr, port: u16) -> SocketAddr {
    address.set_port(port);
    address
}

/// Most lookups in progress. Each has a thread.
const MAX_LOOKUPS: usize = 32;

/// Most lookups in progress of one upstream or issuer, each of another host.
const MAX_LOOKUPS_PER_OWNER: usize = 4;

/// The time for which addresses are used without asking again.
const ANSWER_TIME: Duration = Duration::from_secs(5);

/// The time for which an error is used without asking again.
const ERROR_TIME: Duration = Duration::from_secs(1);

#[cfg(test)]
// Named, because the interleavings include this file under another path.
#[path = "resolver/tests.rs"]
mod tests;
