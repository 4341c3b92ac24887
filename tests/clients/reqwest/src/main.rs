//! reqwest with sse-stream, over HTTP/2. It is only a parser: the application handles ids, `retry` and reconnecting.

use std::error::Error;
use std::io::Read;
use std::time::Duration;

use futures_util::StreamExt;
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use sse_stream::SseByteStream;

/// The state that outlives a connection.
struct Position {
    last_event_id: String,
    retry: Duration,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    std::thread::spawn(|| {
        // Ends with its standard input.
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    let mut arguments = std::env::args().skip(1);
    let (url, bearer) = (arguments.next().expect("a URL"), arguments.next().expect("a file or -"));
    let client = Client::builder().connect_timeout(Duration::from_secs(5)).build()?;
    let mut position = Position { last_event_id: String::new(), retry: Duration::from_secs(1) };
    loop {
        match connect(&client, &url, &bearer, &mut position).await {
            Ok(refused) => {
                report(&json!({ "closed": refused.as_u16() }));
                return Ok(());
            }
            Err(error) => report(&json!({ "lost": error.to_string() })),
        }
        tokio::time::sleep(position.retry).await;
    }
}

/// The status of a refusal that is final.
async fn connect(
    client: &Client,
    url: &str,
    bearer: &str,
    position: &mut Position,
) -> Result<StatusCode, Box<dyn Error>> {
    let mut request = client.get(url).header("accept", "text/event-stream");
    if bearer != "-" {
        request = request.bearer_auth(std::fs::read_to_string(bearer)?.trim());
    }
    if !position.last_event_id.is_empty() {
        request = request.header("last-event-id", &position.last_event_id);
    }
    let response = request.send().await?;
    let status = response.status();
    if status == 204 || (status.is_client_error() && status != 429) {
        return Ok(status);
    }
    let mut events = SseByteStream::new(response.error_for_status()?.bytes_stream());
    while let Some(event) = events.next().await {
        let event = event?;
        if let Some(id) = event.id {
            position.last_event_id = id;
        }
        if let Some(retry) = event.retry {
            position.retry = Duration::from_millis(retry);
        }
        let kind = event.event.unwrap_or_default();
        report(&json!({ "type": kind, "data": event.data.unwrap_or_default(), "id": position.last_event_id }));
    }
    Err("the response ended".into())
}

fn report(what: &Value) {
    println!("{what}");
}
