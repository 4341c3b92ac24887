//! The wall clock of the gateway's process is set while responses are open.

use serde_json::json;

use super::fixture::{AuthFixture, PROTOCOLS, bearer, in_seconds, route, token};
use crate::support::origin::Emission;
use crate::support::process_clock::ProcessClock;
use crate::support::server::Rillgate;
use crate::support::subscription::Ending;
use crate::support::wait::DEADLINE;

#[tokio::test]
async fn responses_end_when_the_wall_clock_is_set_past_the_expiry_of_their_tokens() {
    let (fixture, clock) = (AuthFixture::new().await, ProcessClock::build());
    let environment = clock.environment();
    let environment: Vec<_> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let config = fixture.config_with_main("0s", &route("prices", "/prices/{symbol}", ""));
    let gateway = Rillgate::start_with(&config, &environment).await;
    let of = |seconds: f64| bearer(&token(&json!({ "exp": in_seconds(seconds) })));
    let (expiring, lasting) = (of(1800.0), of(7200.0));
    let (mut ending, mut remaining) = (Vec::new(), Vec::new());
    for client in PROTOCOLS.map(|protocol| fixture.client(protocol, &gateway)) {
        ending.push(client.subscribe("/prices/x", &[("authorization", &expiring)]).await);
        remaining.push(client.subscribe("/prices/x", &[("authorization", &lasting)]).await);
    }

    clock.set_wall_clock_ahead(3600);

    for mut subscription in ending {
        assert_eq!(subscription.ending(DEADLINE).await, Ending::Clean);
    }
    gateway.wait_line("the system clock was set", DEADLINE).await;
    fixture.origin.emit(Emission::event("1", "price", "42"));
    for mut subscription in remaining {
        assert_eq!(subscription.next_event(DEADLINE).await.data, "42");
    }
    for client in PROTOCOLS.map(|protocol| fixture.client(protocol, &gateway)) {
        let late = client.subscribe("/prices/x", &[("authorization", &expiring)]).await;
        assert_eq!(late.status.as_u16(), 401);
    }
}
