//! Edges in front of cores in front of a producer, and readers that come back to any edge.
//!
//! Always true: the producer numbers its events from 1 and resumes after a `Last-Event-ID`. A gateway that is killed
//! returns at the same address. A reader fails its test if an event comes twice, in another order, or is missing
//! without a gap that was told before the next event.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::support::client::{Client, Protocol};
use crate::support::origin::{Emission, Origin};
use crate::support::reserved_addr::reserve;
use crate::support::server::Rillgate;
use crate::support::setup::Setup;
use crate::support::subscription::Subscription;
use crate::support::wait::{DEADLINE, within};

/// Delays that are short beside the deadline of a test.
pub const QUICK: &str = "backoff = { initial = \"20ms\", max = \"50ms\" }\nopen_timeout = \"10s\"";

/// The producer, the cores and the edges.
pub struct Chain {
    pub origin: Origin,
    pub cores: Vec<Rillgate>,
    pub edges: Vec<Rillgate>,
    emitted: u64,
}

/// A client that comes back with the id of its last event, each time to the next edge.
pub struct Reader {
    clients: Vec<Client>,
    next: usize,
    subscription: Option<Subscription>,
    responses: usize,
    /// The number of its last event.
    last: Option<u64>,
    /// The number of comments of this response that have been looked at.
    comments_read: usize,
    /// The number of times that events were missing.
    jumps: usize,
    /// The gaps that all responses told.
    pub gaps: Vec<String>,
}

impl Chain {
    /// Starts cores with `core` and two edges with `edge`. Both get the upstream and the address here.
    pub async fn start(cores: usize, core: impl Fn(Setup) -> Setup, edge: impl Fn(Setup) -> Setup) -> Self {
        let origin = Origin::start().await;
        origin.honour_last_event_id();
        let mut chain = Self { origin, cores: Vec::new(), edges: Vec::new(), emitted: 0 };
        let mut urls = Vec::new();
        for _ in 0..cores {
            let address = reserve();
            let setup = core(Setup::for_origin(&chain.origin.url()).upstream(QUICK));
            chain.cores.push(Rillgate::start(&setup.toml_at(address)).await);
            urls.push(format!("http://{address}"));
        }
        chain.add_edges(&urls.join("\", \""), edge).await;
        chain
    }

    /// Starts two edges in front of this core, which the caller keeps, and its producer.
    pub async fn in_front_of(origin: Origin, core: Rillgate, url: &str, edge: impl Fn(Setup) -> Setup) -> Self {
        origin.honour_last_event_id();
        let mut chain = Self { origin, cores: vec![core], edges: Vec::new(), emitted: 0 };
        chain.add_edges(url, edge).await;
        chain
    }

    async fn add_edges(&mut self, urls: &str, edge: impl Fn(Setup) -> Setup) {
        for _ in 0..2 {
            let setup = edge(Setup::for_origin(urls).upstream(QUICK).delivery("answer_within = \"100ms\""));
            self.edges.push(Rillgate::start(&setup.toml_at(reserve())).await);
        }
    }

    /// Subscribes four readers, of each protocol at each edge, and lets them read three events.
    pub async fn readers(&mut self) -> Vec<Reader> {
        let addresses: Vec<_> = self.edges.iter().map(Rillgate::address).collect();
        let mut readers = Vec::new();
        for (protocol, first) in
            [(Protocol::Http1, 0), (Protocol::Http2, 0), (Protocol::Http1, 1), (Protocol::Http2, 1)]
        {
            let mut reader = Reader::new(protocol, &addresses, first);
            reader.subscribe().await;
            readers.push(reader);
        }
        // Each edge has one stream, and the core one for both.
        self.origin.wait_open(1).await;
        self.emit_to(&mut readers, 3).await;
        readers
    }

    /// Emits this many events.
    pub fn emit(&mut self, count: u64) {
        for _ in 0..count {
            self.emitted += 1;
            let number = self.emitted.to_string();
            self.origin.emit(Emission::event(&number, "", &number));
        }
    }

    /// Emits this many events, each once a response of the producer is open, and lets all readers read up to the last.
    pub async fn emit_to(&mut self, readers: &mut [Reader], count: u64) {
        self.emit(count);
        self.catch_up(readers).await;
    }

    /// Lets all readers read up to the last event that was emitted.
    pub async fn catch_up(&self, readers: &mut [Reader]) {
        for reader in readers {
            within(DEADLINE, &format!("event {}", self.emitted), reader.read_until(self.emitted)).await;
        }
    }

    /// Lets readers whose response has ended come back, and waits until the producer is read again.
    pub async fn reconnect(&mut self, readers: &mut [Reader]) {
        for reader in &mut *readers {
            within(DEADLINE, "an open response", reader.reconnect()).await;
        }
        self.origin.wait_open(1).await;
    }
}

impl Reader {
    fn new(protocol: Protocol, edges: &[SocketAddr], first: usize) -> Self {
        let clients = edges.iter().map(|edge| Client::new(protocol, *edge)).collect();
        Self {
            clients,
            next: first,
            subscription: None,
            responses: 0,
            last: None,
            comments_read: 0,
            jumps: 0,
            gaps: Vec::new(),
        }
    }

    /// Opens a response at the next edge that answers.
    async fn subscribe(&mut self) {
        let id = self.last.map(|last| last.to_string());
        let headers: Vec<_> = id.iter().map(|id| ("last-event-id", id.as_str())).collect();
        loop {
            let client = &self.clients[self.next % self.clients.len()];
            self.next += 1;
            if let Ok(subscription) = client.try_request("GET", "/prices", &headers).await
                && subscription.status == 200
            {
                (self.subscription, self.comments_read) = (Some(subscription), 0);
                self.responses += 1;
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Returns true if its first response is still open.
    pub fn has_one_response(&self) -> bool {
        self.responses == 1 && self.subscription.is_some()
    }

    /// Comes back if the response has ended by now. Events that have arrived are read first.
    pub async fn reconnect(&mut self) {
        while let Ok(false) = timeout(Duration::from_millis(50), self.read()).await {}
        if self.subscription.is_none() {
            self.subscribe().await;
        }
    }

    async fn read_until(&mut self, number: u64) {
        while self.last.is_none_or(|last| last < number) {
            if self.subscription.is_none() {
                self.subscribe().await;
            }
            self.read().await;
        }
    }

    /// Reads what has arrived. Returns true if the response has ended. Cancel-safe.
    async fn read(&mut self) -> bool {
        let Some(subscription) = &mut self.subscription else { return true };
        let events = subscription.events().await;
        let comments = &subscription.comments()[self.comments_read..];
        self.comments_read += comments.len();
        self.gaps.extend(comments.iter().filter(|comment| comment.contains("gap")).cloned());
        let Some(events) = events else {
            self.subscription = None;
            return true;
        };
        for event in events {
            let number: u64 = event.data.parse().expect("a number");
            if let Some(last) = self.last {
                assert!(number > last, "event {number} came after {last}");
                self.jumps += usize::from(number > last + 1);
                let (jumps, told) = (self.jumps, self.gaps.len());
                assert!(jumps <= told, "events between {last} and {number} are lost untold: {:?}", self.gaps);
            }
            self.last = Some(number);
        }
        false
    }
}
