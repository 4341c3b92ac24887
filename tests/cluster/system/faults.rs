//! The failures, one at a time: each is made, lasts, and is mended.

use std::collections::BTreeMap;
use std::time::Duration;

use fastrand::Rng;
use tokio::time::{Instant, sleep, timeout};

use super::recorded_producer::RecordedProducer;
use super::site::LEASE;
use super::trial::Trial;
use crate::support::network::Network;
use crate::support::wait::DEADLINE;

/// A failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A gateway is killed.
    Kill,
    /// A gateway is stopped, and continues when others own its streams.
    Stop,
    /// A gateway and its clocks are stopped, as a virtual machine is: it continues and believes in its lease.
    Suspend,
    /// The wall clock of a gateway is set, to up to a minute before or after the right time.
    Clock,
    /// A gateway is told to end, drains, and is started again.
    Drain,
    /// A gateway's lines to the engine hold everything.
    Cut,
    /// They hold what the gateway sends.
    CutOutwards,
    /// They hold what the engine sends.
    CutInwards,
    /// The producer breaks all its connections.
    Producer,
    /// A server of the engine is killed.
    EngineServer,
    /// Two servers of the engine are killed.
    Quorum,
    /// All servers of the engine are killed.
    Engine,
}

/// Some failures of each kind, for a run that is to be short: elections of the engine take longer than all else.
pub const SHORT_RUN: [Fault; 24] = [
    Fault::Kill,
    Fault::Stop,
    Fault::CutOutwards,
    Fault::Kill,
    Fault::Drain,
    Fault::CutInwards,
    Fault::Suspend,
    Fault::Clock,
    Fault::Producer,
    Fault::Kill,
    Fault::EngineServer,
    Fault::Stop,
    Fault::Cut,
    Fault::Kill,
    Fault::Drain,
    Fault::Quorum,
    Fault::CutInwards,
    Fault::Clock,
    Fault::Producer,
    Fault::Suspend,
    Fault::Stop,
    Fault::Engine,
    Fault::Kill,
    Fault::CutOutwards,
];

/// Makes failures and counts them.
pub struct Faults<'s> {
    pub trial: &'s mut Trial,
    pub rng: Rng,
    pub made: BTreeMap<Fault, u64>,
}

impl Faults<'_> {
    /// Makes one failure, while the producer goes on.
    pub async fn make(&mut self, fault: Fault) {
        *self.made.entry(fault).or_default() += 1;
        let which = self.rng.usize(..3);
        let lasting = LEASE + Duration::from_millis(self.rng.u64(500..2_500));
        match fault {
            Fault::Kill => {
                self.trial.site.gateways[which].gateway.kill().await;
                sleep(lasting).await;
                self.trial.site.gateways[which].gateway.restart().await;
            }
            Fault::Stop => {
                self.trial.overlap.excuse(lasting + Duration::from_millis(500));
                self.trial.site.gateways[which].gateway.signal("STOP");
                sleep(lasting).await;
                self.trial.site.gateways[which].gateway.signal("CONT");
            }
            Fault::Suspend => {
                self.trial.overlap.excuse(lasting + Duration::from_millis(500));
                let node = &mut self.trial.site.gateways[which];
                node.gateway.signal("STOP");
                let stopped = Instant::now();
                sleep(lasting).await;
                node.clock.hold(stopped.elapsed());
                node.gateway.signal("CONT");
            }
            Fault::Clock => self.trial.site.gateways[which].clock.set_wall_clock_ahead(self.rng.i64(-60..=60)),
            Fault::Drain => {
                let gateway = &mut self.trial.site.gateways[which].gateway;
                gateway.signal("TERM");
                gateway.wait_exit(DEADLINE).await;
                gateway.restart().await;
            }
            Fault::Cut => self.hold(which, Network::stall, lasting).await,
            Fault::CutOutwards => self.hold(which, Network::stall_to_target, lasting).await,
            Fault::CutInwards => self.hold(which, Network::stall_from_target, lasting).await,
            Fault::Producer => self.trial.producer.kill(),
            Fault::EngineServer => self.without_servers(which, 1, lasting).await,
            Fault::Quorum => self.without_servers(which, 2, lasting).await,
            Fault::Engine => self.without_servers(which, 3, lasting).await,
        }
    }

    async fn hold(&self, which: usize, hold: fn(&Network), lasting: Duration) {
        self.trial.site.gateways[which].lines(hold);
        sleep(lasting).await;
        self.trial.site.gateways[which].lines(Network::resume);
    }

    async fn without_servers(&self, first: usize, count: usize, lasting: Duration) {
        let servers = (first..first + count).map(|which| &self.trial.site.engine.servers[which % 3]);
        servers.clone().for_each(|server| server.kill());
        sleep(lasting).await;
        servers.clone().for_each(|server| server.restart());
        for server in servers {
            server.is_listening().await;
        }
    }
}

/// Sends events until it is stopped: some at every moment, and now and then many.
pub async fn produce(producer: &RecordedProducer, mut rng: Rng) {
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    loop {
        tick.tick().await;
        producer.write(rng.u64(..3));
        if rng.u8(..200) == 0 {
            producer.write(rng.u64(100..400));
        }
    }
}

/// Waits a little between two failures, or for a given time if the engine has to elect.
pub async fn pause(rng: &mut Rng, last: Fault) {
    let most = if last >= Fault::EngineServer { 6_000 } else { 1_000 };
    let _ = timeout(Duration::from_millis(rng.u64(200..most)), std::future::pending::<()>()).await;
}

/// Whether the run is long enough.
pub fn is_over(elapsed: Duration, seconds: Option<u64>, made: usize) -> bool {
    seconds.map_or(made >= SHORT_RUN.len(), |seconds| elapsed >= Duration::from_secs(seconds))
}
