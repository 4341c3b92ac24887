//! The life of a gateway, from its sockets to the end of the drain.
//!
//! [`Gateway::bind`] does everything that can fail: it binds sockets and reads files, but accepts nothing.
//! [`Gateway::run`] serves until its shutdown signal and then drains. Parts do not know each other; they are connected
//! here.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::build::{self, BuildError, Parts};
use super::live_upstreams::LiveUpstreams;
use super::refresh;
use super::sockets::{self, AdminSocket, BindError};
use super::state::{GatewayState, Handle, Stage, publish_limits};
use crate::admin::{Admin, Readiness};
use crate::auth::Tickets;
use crate::config::{Config, DrainSettings};
use crate::forward::{ExchangeLimits, Forwarder};
use crate::http::{
    self, App, PostBodyLimits, PostStops, PostStreams, StaticPage, StreamOpenLimits, SubscriptionLimits,
};
use crate::limits::SharedLimits;
use crate::listen::{AcceptLimits, Handover, HandshakeLog, Listener, ListenerContext, Tls};
use crate::runtime::file_budget::FileBudget;
use crate::runtime::file_limit;
use crate::runtime::memory::Watermark;
use crate::runtime::tasks::Tasks;
use crate::runtime::workers::Workers;
use crate::store::Store;
use crate::stream::{LogStore, StoredRequests, Streams};
use crate::telemetry::logging::FilterHandle;
use crate::telemetry::{Room, RouteMetrics};

/// A gateway with its sockets bound.
pub struct Gateway {
    listeners: Vec<Listener>,
    admin: Option<AdminSocket>,
    state: Arc<GatewayState>,
    drain: DrainSettings,
    workers: usize,
}

/// The outcome of a drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// All tasks ended by themselves.
    Clean,
    /// The deadline aborted tasks.
    Aborted {
        /// The number of aborted tasks.
        tasks: usize,
    },
}

impl Gateway {
    /// Binds all sockets and reads all files.
    ///
    /// # Errors
    /// See [`BindError`].
    pub fn bind(config: &Config) -> Result<Self, BindError> {
        let parts = Parts::build_joined(config)?;
        let Parts { metrics, tasks, trust, refresher, connects, policies, routes, cluster } = parts;
        let panics = tasks.panics().clone();
        let store =
            config.store.clone().map(|store| Store::start(store, metrics.store().clone(), panics.clone())).transpose();
        let store = store.map_err(BindError::Store)?;
        let limits: SharedLimits = Arc::new(ArcSwap::from_pointee(config.limits.clone()));
        let log_store = store.clone().map(|store| Arc::new(store) as Arc<dyn LogStore>);
        let files = FileBudget::new(limits.clone(), file_limit::allowed(), metrics.shares().on_refusal(Room::Files));
        let streams = Streams::new(limits.clone(), log_store, tasks.clone())
            .with_refusals(metrics.shares().on_refusal(Room::Streams))
            .with_files(files.clone());
        let streams = match &cluster {
            Some(cluster) => streams.with_shared_logs(cluster.shared_logs()),
            None => streams,
        };
        let ledger = streams.ledger().clone();
        let memory = Arc::new(Watermark::new(ledger.clone()));
        let upstreams = LiveUpstreams::default();
        upstreams.update(&routes);
        publish_limits(&config.limits, &trust, &metrics);
        metrics.config_loaded();
        let tickets = Tickets::new(MAX_TICKETS);
        let tickets = match &cluster {
            Some(cluster) => cluster.share_tickets(tickets),
            None => tickets,
        };
        let on_refusal = metrics.shares().on_refusal(Room::PostBodies);
        let post_bodies = PostBodyLimits::new(limits.clone(), ledger.clone(), on_refusal);
        let app = App {
            routes: ArcSwap::from_pointee(routes),
            streams,
            subscription_limits: SubscriptionLimits::new(limits.clone(), memory.clone(), metrics.shares()),
            exchange_limits: ExchangeLimits::new(
                limits.clone(),
                memory.clone(),
                ledger,
                files.clone(),
                metrics.shares().on_refusal(Room::ForwardedRequests),
            ),
            post_streams: PostStreams::default(),
            post_bodies,
            stored_requests: store.clone().map(|store| Arc::new(store) as Arc<dyn StoredRequests>),
            shared_requests: cluster.as_ref().map(|cluster| cluster.shared_requests()),
            stream_opens: StreamOpenLimits::new(limits.clone(), metrics.shares().clone()),
            trust,
            tickets,
            limits: limits.clone(),
            log_subject: config.log_subject,
            spread: config.drain.spread,
            tasks,
            unrouted: metrics.route(RouteMetrics::NONE),
            pages: ArcSwap::default(),
        };
        let listeners = sockets::listeners(&config.listeners)?;
        let admin = config.admin.as_ref().map(|admin| AdminSocket::bind(admin.address, &listeners)).transpose()?;
        let app = Arc::new(app);
        if let Some(cluster) = &cluster {
            cluster.handle_stops(Arc::new(PostStops::new(&app)));
        }
        let state = GatewayState {
            app,
            accept_limits: AcceptLimits::new(limits, files, metrics.shares()),
            metrics,
            memory,
            upstreams,
            connects,
            policies,
            readiness: Arc::new(Readiness::new()),
            refresher,
            store,
            cluster,
            started: config.clone(),
            workers: OnceLock::new(),
            log: OnceLock::new(),
            stage: watch::Sender::new(Stage::Starting),
            effective_config: Arc::new(ArcSwap::from_pointee(config.effective.clone())),
        };
        let (state, drain, workers) = (Arc::new(state), config.drain, config.workers);
        Ok(Self { listeners, admin, state, drain, workers })
    }

    /// Builds everything that [`Self::bind`] builds, without binding a socket, and so finds the same errors.
    ///
    /// # Errors
    /// See [`BuildError`].
    pub fn check(config: &Config) -> Result<(), BuildError> {
        Parts::build(config).map(drop)
    }

    /// Serves these pages beside the streams, without authorization.
    pub fn serve_pages(&self, pages: Vec<StaticPage>) {
        self.state.app.pages.store(Arc::new(pages));
    }

    /// Lets operators change the log filter through the admin port, and counts the log's dropped lines. A second call
    /// has no effect.
    pub fn serve_log(&self, log: FilterHandle) {
        self.state.log.get_or_init(|| log);
    }

    /// Returns the addresses of the listeners, in the configuration's order.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().map(Listener::address).collect()
    }

    /// Returns the address of the admin port.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref().and_then(AdminSocket::address)
    }

    /// Returns a handle to inspect and reload the gateway while it runs.
    pub fn handle(&self) -> Handle {
        Handle(self.state.clone())
    }

    /// Serves until `shutdown` completes, then drains: unready, notice, responses ended over the spread, deadline.
    ///
    /// # Errors
    /// The system cannot create the workers' threads.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> io::Result<Drained> {
        file_limit::raise(&self.state.app.limits.load(), self.state.started.configured_sockets);
        let (workers, threads) = Workers::start(self.workers)?;
        let state = self.state;
        state.readiness.observe_workers(workers.clone());
        let app = &state.app;
        let tasks = app.tasks.clone();
        // A group of its own: accept loops end before all other tasks, so that no new connection arrives during the
        // drain.
        let accepting = Tasks::new(tasks.panics().clone());
        // Streams that end in the drain tell the engine, so its tasks are not waited for.
        let cluster_tasks = Tasks::new(tasks.panics().clone());
        let mut certificates: Vec<Arc<Tls>> = Vec::new();
        for listener in self.listeners {
            let metrics = state.metrics.listener(&listener.settings().name);
            info!(address = %listener.address(), tls = listener.tls().is_some(), "listening");
            if let Some(tls) = listener.tls().filter(|tls| !certificates.iter().any(|known| Arc::ptr_eq(known, tls))) {
                certificates.push(tls.clone());
                let (tls, metrics, draining) = (tls.clone(), state.metrics.clone(), tasks.draining());
                tasks.spawn_restarting("certificates", "", move || {
                    refresh::refresh_certificates(tls.clone(), metrics.clone(), draining.clone())
                });
            }
            let around = ListenerContext {
                accept_limits: state.accept_limits.clone(),
                limits: app.limits.clone(),
                ledger: app.streams.ledger().clone(),
                workers: workers.clone(),
                tasks: tasks.clone(),
                draining: accepting.draining(),
                metrics: metrics.clone(),
                tls: listener.tls().cloned(),
                handshake_log: Arc::new(HandshakeLog::new(metrics)),
                trusted_proxies: listener.settings().trusted_proxies.as_slice().into(),
                client_address: listener.settings().client_address,
                handover: Handover::for_listener(listener.settings()),
            };
            accepting.spawn("accept", listener.run(around, http::service(app.clone())));
        }
        if let Some(cluster) = &state.cluster {
            cluster.report_readiness(&state.readiness);
            cluster.start(&cluster_tasks);
        }
        build::open_always_streams(app, state.workers.get_or_init(|| workers.clone()));
        state.refresher.report_readiness(&state.readiness);
        state.refresher.start(&app.trust, &tasks);
        tasks.spawn_restarting("upkeep", "", {
            let state = state.clone();
            move || super::maintenance::run(state.clone())
        });

        // The admin port outlives the drain, because operators watch the drain through it.
        let stop_admin = CancellationToken::new();
        let admin_tasks = Tasks::new(tasks.panics().clone());
        if let Some(socket) = self.admin {
            let admin = Admin::new(state.admin_context());
            let (spawner, stop) = (admin_tasks.clone(), stop_admin.clone());
            admin_tasks.spawn("admin", async move {
                let socket = tokio::select! {
                    socket = socket.ready() => socket,
                    () = stop.cancelled() => return,
                };
                if let Ok(address) = socket.local_addr() {
                    info!(%address, tls = false, admin = true, "listening");
                }
                if let Err(error) = admin.serve(socket, |name, task| spawner.spawn(name, task), stop).await {
                    error!(%error, "admin port failed");
                }
            });
        }

        state.stage.send_replace(Stage::Serving);
        shutdown.await;
        state.stage.send_replace(Stage::Draining);
        let drained = drain(&state, self.drain, &accepting).await;
        stop_admin.cancel();
        state.metrics.report_suppressed_lines();
        // Aborts the remaining tasks with their runtimes.
        workers.stop();
        let store = state.store.clone();
        let _ = tokio::task::spawn_blocking(move || {
            threads.into_iter().for_each(|thread| drop(thread.join()));
            // Every stream has been closed by now.
            store.iter().for_each(Store::stop);
        })
        .await;
        Ok(drained)
    }
}

async fn drain(state: &GatewayState, drain: DrainSettings, accepting: &Tasks) -> Drained {
    state.readiness.drain();
    info!(notice_s = drain.notice.as_secs_f64(), spread_s = drain.spread.as_secs_f64(), "draining");
    sleep(drain.notice).await;
    state.store.iter().for_each(Store::drain);
    accepting.drain();
    accepting.wait(drain.deadline).await;
    let tasks = &state.app.tasks;
    tasks.drain();
    // Idle connections to upstreams would be waited for. Those in use are closed after their exchange.
    state.app.routes.load().iter().filter_map(|route| route.forwarder.as_ref()).for_each(Forwarder::close_idle);
    // Responses look for the drain when they are notified, so it has begun before.
    state.app.trust.change_signal().notify();
    match tasks.wait(drain.deadline).await {
        0 => {
            info!("drained");
            Drained::Clean
        }
        left => {
            warn!(tasks = left, "drain deadline reached: remaining tasks aborted");
            state.metrics.tasks_aborted("all", left as u64);
            Drained::Aborted { tasks: left }
        }
    }
}

/// Maximum number of one-time tickets that wait for their use. Each takes less than 1 KiB besides its claims.
const MAX_TICKETS: usize = 10_000;
