//! `auth.bind` on shared query parameters: the token must list the requested values.

use serde_json::{Value, json};

use super::fixture::{AuthFixture, PROTOCOLS, bearer, route, token};
use super::reload::reload;
use crate::support::client::Protocol;
use crate::support::origin::Emission;
use crate::support::server::Rillgate;
use crate::support::wait::DEADLINE;

/// Returns a configuration with a route that is shared by topic; a token has to list its topics in this claim.
fn config(fixture: &AuthFixture, claim: &str) -> String {
    let auth = format!("tickets = true\nbind = {{ topic = \"{claim}\" }}\n[routes.share]\nquery = [\"topic\"]");
    fixture.config_with_main("5s", &route("hub", "/hub", &auth))
}

async fn start() -> (AuthFixture, Rillgate) {
    let fixture = AuthFixture::new().await;
    let gateway = Rillgate::start(&config(&fixture, "topics")).await;
    (fixture, gateway)
}

#[tokio::test]
async fn every_requested_topic_must_be_in_the_claim() {
    let (fixture, gateway) = start().await;
    let listed = bearer(&token(&json!({ "topics": ["a", "b/ä"] })));
    let single = bearer(&token(&json!({ "topics": "a" })));
    let without = bearer(&token(&json!({})));
    let cases = [
        (&listed, "/hub?topic=a", 200),
        (&listed, "/hub?topic=b%2F%C3%A4&topic=a", 200),
        (&listed, "/hub?t%6Fpic=a&other=c", 200),
        (&single, "/hub?topic=a", 200),
        (&listed, "/hub?topic=a&topic=c", 403),
        (&listed, "/hub?topic=c", 403),
        (&listed, "/hub?topic=A", 403),
        (&listed, "/hub?topic=", 403),
        (&listed, "/hub", 403),
        (&single, "/hub?topic=a&topic=b", 403),
        (&without, "/hub?topic=a", 403),
        (&listed, "/hub?topic=%FF", 400),
    ];

    for protocol in PROTOCOLS {
        for (token, path, status) in cases {
            let answer = fixture.client(protocol, &gateway).subscribe(path, &[("authorization", token)]).await;
            assert_eq!(answer.status.as_u16(), status, "{path}");
        }
    }
}

#[tokio::test]
async fn a_ticket_admits_only_topics_of_its_token() {
    let (fixture, gateway) = start().await;
    let token = bearer(&token(&json!({ "topics": ["a b", "c"] })));
    let client = fixture.client(Protocol::Http2, &gateway);
    let post = async |path: &str| {
        let mut answer = client.try_request("POST", path, &[("authorization", &token)]).await.unwrap();
        let text = answer.text().await;
        (answer.status.as_u16(), serde_json::from_str::<Value>(&text).unwrap()["url"].as_str().map(str::to_owned))
    };

    let (_, with_topics) = post("/hub?topic=a+b&topic=c&ticket").await;
    let with_topics = with_topics.unwrap();
    assert!(with_topics.starts_with("/hub?topic=a%20b&topic=c&ticket="), "{with_topics}");
    assert_eq!(client.subscribe(&with_topics, &[]).await.status.as_u16(), 200);

    // The topics may also be added to the ticket's URL. They are checked when the ticket is used.
    for (topic, status) in [("c", 200), ("d", 403)] {
        let (_, bare) = post("/hub?ticket").await;
        let asked = format!("{}&topic={topic}", bare.unwrap());
        assert_eq!(client.subscribe(&asked, &[]).await.status.as_u16(), status, "{topic}");
    }
    let (_, bare) = post("/hub?ticket").await;
    assert_eq!(client.subscribe(&bare.unwrap(), &[]).await.status.as_u16(), 403, "no topic was read as all topics");
    assert_eq!(post("/hub?topic=d&ticket").await.0, 403);
}

#[tokio::test]
async fn a_reload_checks_open_streams_with_their_topics() {
    let (fixture, gateway) = start().await;
    let both = bearer(&token(&json!({ "topics": ["a", "b"], "rooms": ["a"] })));
    let client = fixture.client(Protocol::Http1, &gateway);
    let mut stays = client.subscribe("/hub?topic=a", &[("authorization", &both)]).await;
    let mut ends = client.subscribe("/hub?topic=a&topic=b", &[("authorization", &both)]).await;
    fixture.origin.wait_open(2).await;

    reload(&gateway, &config(&fixture, "rooms")).await;

    ends.expect_end(DEADLINE).await;
    fixture.origin.emit(Emission::event("1", "", "goes on"));
    assert_eq!(stays.next_event(DEADLINE).await.data, "goes on");
}
