//! Tickets and revocations of gateways whose wall clocks are a minute apart.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::gateways::{admin, config, token};
use crate::gateways::{KEY, answer};
use crate::support::client::Client;
use crate::support::nats::NatsServer;
use crate::support::origin::Origin;
use crate::support::process_clock::ProcessClock;
use crate::support::server::Rillgate;
use crate::support::subscription::Ending;
use crate::support::wait::{DEADLINE, eventually};

/// Two gateways; the clock of the first one is a minute ahead.
async fn two(engine: &NatsServer, origin: &Origin, clock: &ProcessClock) -> [Rillgate; 2] {
    clock.set_wall_clock_ahead(60);
    let [library, numbers] = clock.environment();
    let config = config(engine, origin).replace("auth.tickets = true", "auth.tickets = true\nauth.ticket_ttl = \"2s\"");
    let ahead = Rillgate::start_with(&config, &[KEY, (library.0, &library.1), (numbers.0, &numbers.1)]).await;
    let right = Rillgate::start_with(&config, &[KEY]).await;
    for gateway in [&ahead, &right] {
        eventually(DEADLINE, || async { answer(gateway, "/readyz").await.0 == 200 }).await;
    }
    [ahead, right]
}

async fn ticket(gateway: &Rillgate, token: &str) -> String {
    let client = Client::http1(gateway.address());
    let mut response = client.try_request("POST", "/prices?ticket", &[("authorization", token)]).await.unwrap();
    let body: Value = serde_json::from_str(&response.text().await).unwrap();
    body["url"].as_str().unwrap().to_owned()
}

async fn redeem(gateway: &Rillgate, url: &str) -> u16 {
    Client::http1(gateway.address()).subscribe(url, &[]).await.status.as_u16()
}

#[tokio::test]
async fn a_ticket_serves_once_and_ends_in_time_whoever_issued_it() {
    let (engine, origin, clock) = (NatsServer::start().await, Origin::start().await, ProcessClock::build());
    let [ahead, right] = two(&engine, &origin, &clock).await;
    let token = token("alice");

    for [issuer, other] in [[&ahead, &right], [&right, &ahead]] {
        let url = ticket(issuer, &token).await;
        assert_eq!(redeem(other, &url).await, 200);
        assert_eq!(redeem(issuer, &url).await, 401, "once");

        let (begun, mut unused) = (Instant::now(), Vec::new());
        for _ in 0..8 {
            unused.push(ticket(issuer, &token).await);
        }
        // A try uses a ticket up, so each of them waits longer. The engine ends them, by the time that they had left.
        let mut refused = None;
        for (number, url) in unused.iter().enumerate() {
            let end = begun + Duration::from_secs(1) * u32::try_from(number).unwrap();
            eventually(DEADLINE, || async { Instant::now() >= end }).await;
            if redeem(other, url).await == 401 {
                refused = Some(begun.elapsed());
                break;
            }
        }
        let refused = refused.expect("it ends");
        assert!(refused > Duration::from_secs(1), "{refused:?}");
    }
}

#[tokio::test]
async fn a_revocation_is_in_force_on_both_whoever_got_it() {
    let (engine, origin, clock) = (NatsServer::start().await, Origin::start().await, ProcessClock::build());
    let [ahead, right] = two(&engine, &origin, &clock).await;

    for (subject, [asked, other]) in [("mallory", [&ahead, &right]), ("eve", [&right, &ahead])] {
        let token = token(subject);
        let credentials = [("authorization", token.as_str())];
        let mut reader = Client::http1(other.address()).subscribe("/prices", &credentials).await;
        assert_eq!(reader.status.as_u16(), 200);

        let revocation = format!(r#"{{"sub":"{subject}","ttl":"1h"}}"#);
        let (status, body) = admin(asked, "POST", "/revocations", &revocation).await;
        assert_eq!(status, 200, "{body}");
        assert_eq!(reader.ending(DEADLINE).await, Ending::Clean);
        for gateway in [asked, other] {
            let refused = Client::http1(gateway.address()).subscribe("/prices", &credentials).await;
            assert_eq!(refused.status.as_u16(), 401);
        }
        let id = serde_json::from_str::<Value>(&body).unwrap()["id"].as_str().unwrap().to_owned();
        assert_eq!(admin(other, "DELETE", &format!("/revocations/{id}"), "").await.0, 204);
        let client = Client::http1(asked.address());
        eventually(DEADLINE, || async { client.subscribe("/prices", &credentials).await.status == 200 }).await;
    }
}
