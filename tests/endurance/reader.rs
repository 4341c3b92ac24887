//! A client that reads, stalls, disconnects and resumes at random.
//!
//! Always true: it resumes after the last event that it dispatched; once it knows the last event of the run, it reads
//! without stalls until it has that one.

use std::time::Duration;

use fastrand::Rng;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::history::{Figures, History};
use crate::support::client::{Client, Connection};
use crate::support::subscription::Subscription;
use crate::support::wait::DEADLINE;

/// A client.
pub struct Reader {
    client: Client,
    path: String,
    history: History,
    rng: Rng,
    connection: Option<Connection>,
}

/// The time for which it reads before its next action.
const READING: std::ops::Range<u64> = 20..3_000;

/// The time for which it stalls; some values exceed the gateway's `stall_timeout`.
const STALLING: std::ops::Range<u64> = 20..2_500;

/// The delay before it reconnects.
const AWAY: std::ops::Range<u64> = 0..400;

impl Reader {
    pub fn new(client: Client, path: &str, history: History, rng: Rng) -> Self {
        Self { client, path: path.to_owned(), history, rng, connection: None }
    }

    /// Reads until it has the event in `last`, with any number of reconnects.
    pub async fn run(mut self, mut last: watch::Receiver<Option<u64>>) -> Figures {
        while !self.has_all(&last) {
            let asked = timeout(DEADLINE, self.subscribe()).await;
            match asked {
                Ok(Some(subscription)) => self.read(subscription, &mut last).await,
                // The gateway is being restarted.
                Ok(None) => self.connection = None,
                Err(_) => {
                    self.connection = None;
                    self.history.figures.wrong.push(format!("no answer within {DEADLINE:?}"));
                }
            }
            sleep(self.draw(AWAY)).await;
        }
        self.history.figures
    }

    fn has_all(&self, last: &watch::Receiver<Option<u64>>) -> bool {
        last.borrow().is_some_and(|last| self.history.has_reached(last))
    }

    fn draw(&mut self, milliseconds: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(self.rng.u64(milliseconds))
    }

    async fn subscribe(&mut self) -> Option<Subscription> {
        // On HTTP/2 often on the existing connection; on HTTP/1.1 the subscription owns its connection.
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.client.connect().await.ok()?,
        };
        let id = self.history.last_event_id().to_owned();
        let headers = [("last-event-id", id.as_str())];
        let headers = if id.is_empty() { &headers[..0] } else { &headers[..] };
        let subscription = connection.try_request("GET", &self.path, headers).await.ok()?;
        if self.client.is_http2() && self.rng.bool() {
            self.connection = Some(connection);
        }
        if subscription.status != 200 {
            self.history.figures.refusals += 1;
            return None;
        }
        self.history.figures.responses += 1;
        Some(subscription)
    }

    async fn read(&mut self, mut subscription: Subscription, last: &mut watch::Receiver<Option<u64>>) {
        let mut until = Instant::now() + self.draw(READING);
        while !self.has_all(last) {
            let misbehaves = last.borrow().is_none();
            tokio::select! {
                events = subscription.events() => match events {
                    Some(events) => events.iter().for_each(|event| self.history.take(event)),
                    None => return,
                },
                () = sleep_until(until), if misbehaves => {
                    if self.rng.bool() {
                        return;
                    }
                    let stall = self.draw(STALLING);
                    let _ = timeout(stall, last.changed()).await;
                    until = Instant::now() + self.draw(READING);
                }
                _ = last.changed() => {}
            }
        }
    }
}
