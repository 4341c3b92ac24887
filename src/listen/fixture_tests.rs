//! A listener with one worker, for tests of connections.

use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::*;
use crate::config::default_limits;
use crate::limits::Limits;
use crate::runtime::file_budget::FileBudget;
use crate::runtime::memory::MemoryLedger;
use crate::runtime::panics::Panics;
use crate::runtime::tasks::Tasks;
use crate::runtime::workers::Workers;
use crate::telemetry::Metrics;

/// The bound of the ledger, in bytes. One HTTP/2 connection's part of it is 1 MiB.
pub(super) const MEMORY: u64 = 64 << 20;

/// A listener without TLS on a port of its own. Its connections share one worker. Dropping it stops both.
pub(super) struct SingleWorkerListener {
    pub(super) address: SocketAddr,
    pub(super) workers: Workers,
    pub(super) ledger: Arc<MemoryLedger>,
    accepting: Tasks,
}

impl SingleWorkerListener {
    /// Serves `service`. Panics of tasks are reported to `panics`.
    pub(super) fn start<B: ResponseBody>(service: impl Service<B>, panics: Panics) -> Self {
        let (tasks, accepting) = (Tasks::new(panics.clone()), Tasks::new(panics));
        let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = socket.local_addr().expect("bound");
        let settings = Settings {
            name: "test".to_owned(),
            address: Address::Socket(address),
            reuse_port: false,
            client_address: ClientAddress::Peer,
            trusted_proxies: Vec::new(),
            tls: None,
        };
        let (workers, _) = Workers::start(1).expect("a thread");
        let ledger = Arc::new(MemoryLedger::new(Some(MEMORY)));
        let limits = Limits { h2_streams: 600, ..default_limits() };
        let limits = Arc::new(ArcSwap::from_pointee(limits));
        let all_metrics = Metrics::new("0");
        let metrics = all_metrics.listener("test");
        let context = ListenerContext {
            accept_limits: AcceptLimits::new(
                limits.clone(),
                FileBudget::new(limits.clone(), usize::MAX, Arc::new(|| ())),
                all_metrics.shares(),
            ),
            limits,
            ledger: ledger.clone(),
            workers: workers.clone(),
            tasks,
            draining: accepting.draining(),
            metrics: metrics.clone(),
            tls: None,
            handshake_log: Arc::new(HandshakeLog::new(metrics)),
            trusted_proxies: [].as_slice().into(),
            client_address: ClientAddress::Peer,
            handover: Handover::for_listener(&settings),
        };
        let accept_loop = Listener::new(settings, socket, None).expect("bound");
        accepting.spawn("accept", accept_loop.run(context, service));
        Self { address, workers, ledger, accepting }
    }
}

impl Drop for SingleWorkerListener {
    fn drop(&mut self) {
        self.accepting.drain();
        self.workers.clone().stop();
    }
}
