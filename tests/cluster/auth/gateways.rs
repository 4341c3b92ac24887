//! Whole gateways: responses end where a token is revoked anywhere, and tickets are redeemed anywhere.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use crate::gateways::{answer, configuration, start};
use crate::support::client::Client;
use crate::support::nats::{ELECTION, NatsServer};
use crate::support::origin::Origin;
use crate::support::raw::{Raw, status};
use crate::support::server::Rillgate;
use crate::support::subscription::Ending;
use crate::support::wait::{DEADLINE, eventually};

/// A token that the gateways accept: they use the cluster's key for it too.
pub fn token(subject: &str) -> String {
    let until = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + 3600;
    let claims = json!({ "iss": "https://id.test", "aud": "rillgate", "sub": subject, "exp": until });
    let key = EncodingKey::from_secret(b"0123456789abcdef0123456789abcdef");
    format!("Bearer {}", jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key).unwrap())
}

async fn three(engine: &NatsServer, origin: &Origin) -> [Rillgate; 3] {
    let config = config(engine, origin);
    [start(&config).await, start(&config).await, start(&config).await]
}

/// A gateway whose only route takes tokens and tickets.
pub fn config(engine: &NatsServer, origin: &Origin) -> String {
    rillgate::auth::install_provider();
    let issuer = r#"
        [issuers.main]
        issuer = "https://id.test"
        audience = ["rillgate"]
        keys = [{ secret = { env = "CLUSTER_KEY" }, algorithm = "HS256" }]
    "#;
    let config = configuration(&[engine.url()], origin, issuer, "");
    config.replace(r#"auth = "public""#, "auth.issuers = [\"main\"]\nauth.tickets = true")
}

/// Sends a request to the admin port. Returns the status and the body.
pub async fn admin(gateway: &Rillgate, method: &str, path: &str, body: &str) -> (u16, String) {
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    let text = Raw::exchange(&Client::http1(gateway.admin()), request.as_bytes()).await;
    (status(&text), text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
}

#[tokio::test]
async fn a_revocation_on_one_gateway_ends_the_responses_of_all_within_a_second() {
    let (engine, origin) = (NatsServer::start().await, Origin::start().await);
    let gateways = three(&engine, &origin).await;
    let token = token("mallory");
    let mut readers = Vec::new();
    for gateway in &gateways {
        let reader = Client::http1(gateway.address()).subscribe("/prices", &[("authorization", &token)]).await;
        assert_eq!(reader.status.as_u16(), 200);
        readers.push(reader);
    }

    let begun = Instant::now();
    let (status, body) = admin(&gateways[0], "POST", "/revocations", r#"{"sub":"mallory"}"#).await;
    assert_eq!(status, 200, "{body}");
    for reader in &mut readers {
        assert_eq!(reader.ending(DEADLINE).await, Ending::Clean);
    }
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());

    let id = serde_json::from_str::<Value>(&body).unwrap()["id"].as_str().unwrap().to_owned();
    assert!(answer(&gateways[2], "/revocations").await.1.contains(&id));
    assert_eq!(admin(&gateways[1], "DELETE", &format!("/revocations/{id}"), "").await.0, 204);
    let client = Client::http1(gateways[2].address());
    let is_admitted = || async { client.subscribe("/prices", &[("authorization", &token)]).await.status == 200 };
    eventually(DEADLINE, is_admitted).await;
}

#[tokio::test]
async fn a_ticket_of_one_gateway_opens_a_stream_on_another_once_and_waits_for_the_engine() {
    let (engine, origin) = (NatsServer::start().await, Origin::start().await);
    let gateways = three(&engine, &origin).await;
    let token = token("alice");
    let clients = [0, 1, 2].map(|number: usize| Client::http1(gateways[number].address()));
    let credentials = [("authorization", token.as_str())];
    let ask = || clients[0].try_request("POST", "/prices?ticket", &credentials);
    let mut urls = Vec::new();
    for _ in 0..2 {
        let body: Value = serde_json::from_str(&ask().await.unwrap().text().await).unwrap();
        urls.push(body["url"].as_str().unwrap().to_owned());
    }

    assert_eq!(clients[1].subscribe(&urls[0], &[]).await.status.as_u16(), 200);
    assert_eq!(clients[2].subscribe(&urls[0], &[]).await.status.as_u16(), 401, "once");

    engine.kill();
    for gateway in &gateways {
        eventually(DEADLINE, || async { answer(gateway, "/readyz?cluster").await.0 == 503 }).await;
    }
    let mut refused = clients[1].subscribe(&urls[1], &[]).await;
    assert_eq!((refused.status.as_u16(), refused.header("retry-after").is_empty()), (503, false));
    assert!(refused.text().await.contains(r#""reason":"cluster""#));
    let mut refused = ask().await.unwrap();
    assert_eq!(refused.status.as_u16(), 503);
    assert!(refused.text().await.contains(r#""reason":"cluster""#));
    let (status, body) = admin(&gateways[0], "POST", "/revocations", r#"{"sub":"other"}"#).await;
    assert_eq!(status, 202, "{body}");
    assert!(body.contains(r#""cluster":"pending""#), "{body}");
    engine.restart();

    let is_admitted = || async { clients[1].subscribe(&urls[1], &[]).await.status == 200 };
    eventually(ELECTION, is_admitted).await;
    eventually(ELECTION, || async { answer(&gateways[2], "/revocations").await.1.contains("other") }).await;
}
