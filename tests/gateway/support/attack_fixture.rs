//! The fixture of an attack: an origin, a gateway, and a bystander that the attack must not affect.

use super::client::Client;
use super::origin::{Emission, Origin};
use super::raw::{Raw, responses};
use super::server::Rillgate;
use super::setup::Setup;
use super::subscription::Subscription;
use super::wait::DEADLINE;

/// A request that must never be executed.
pub const VICTIM: &str = "GET /victim HTTP/1.1\r\nhost: localhost\r\n\r\n";

/// A gateway with short timeouts, and a bystander that only reads events.
pub struct AttackFixture {
    pub origin: Origin,
    pub gateway: Rillgate,
    bystander: Subscription,
    events: usize,
}

impl AttackFixture {
    pub async fn new(limits: &str) -> Self {
        let origin = Origin::start().await;
        let gateway = Setup::for_origin(&origin.url()).limits(limits).start().await;
        let bystander = Client::http1(gateway.address()).subscribe("/bystander", &[]).await;
        origin.wait_open(1).await;
        let mut fixture = Self { origin, gateway, bystander, events: 0 };
        fixture.assert_bystander_unharmed().await;
        fixture
    }

    /// # Panics
    /// Panics if the bystander does not get an event in order.
    pub async fn assert_bystander_unharmed(&mut self) {
        self.events += 1;
        let number = self.events.to_string();
        self.origin.emit(Emission::event(&number, "", &number));
        loop {
            let event = self.bystander.next_event(DEADLINE).await;
            // Events that an attack emitted may come first.
            if event.data == number {
                return;
            }
        }
    }

    /// Returns the data of the bystander's last event, which is a number.
    pub fn last_event(&self) -> usize {
        self.events
    }

    pub fn http1(&self) -> Client {
        Client::http1(self.gateway.address())
    }

    /// Sends a request followed by [`VICTIM`], and reads to the end of the connection.
    pub async fn converse(&self, request: &str) -> String {
        let text = Raw::exchange(&self.http1(), format!("{request}{VICTIM}").as_bytes()).await;
        let asked = self.origin.requests();
        assert!(asked.iter().all(|request| !request.target.contains("victim")), "{request:?}: {text:?}");
        assert!(responses(&text) <= 1, "{request:?}: {text:?}");
        text
    }
}
