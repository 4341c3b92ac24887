//! An upstream at line rate beside other streams on the same worker.

use std::time::Duration;

use crate::support::client::Client;
use crate::support::figures::metric;
use crate::support::flood::Flood;
use crate::support::origin::Origin;
use crate::support::raw::{Raw, status};
use crate::support::setup::Setup;
use crate::support::wait::{DEADLINE, eventually};

const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_at_line_rate_delays_no_other_stream() {
    let floods = [
        (HEAD, ":\n"),
        (HEAD, "x\n"),
        (HEAD, "\n"),
        (HEAD, "retry: 1000\n"),
        (HEAD, "id: 1\n\nid: 2\n\n"),
        (CHUNKED, "1\r\n:\r\n1\r\n\n\r\n"),
    ];
    for (head, repeated) in floods {
        let healthy = Origin::start().await;
        let flood = Flood::start(head, repeated).await;
        let hostile = format!(
            "[upstreams.hostile]\nurls = [\"{}\"]\n[[routes]]\nname = \"hostile\"\npath = \"/hostile/{{name}}\"\n\
             upstream = \"hostile\"\nauth = \"public\"\n",
            flood.url()
        );
        let gateway = Setup::for_origin(&healthy.url()).server("workers = 1").after(&hostile).start().await;
        let client = Client::http1(gateway.address());
        let mut reader = client.subscribe("/healthy", &[]).await;
        let _listening = client.subscribe("/hostile/one", &[]).await;
        let poured = || async { metric(&gateway, "upstream_bytes_total", &["route=\"hostile\""]).await };
        eventually(DEADLINE, || async { poured().await > 1e5 }).await;
        let before = poured().await;

        for number in 0..20 {
            healthy.emit(format!("data: {number}\n\n"));
            // A generous bound for a debug build on a busy machine. Without turns an event would take far longer.
            assert_eq!(reader.next_event(Duration::from_secs(3)).await.data, number.to_string(), "beside {repeated:?}");
        }
        let alive =
            Raw::exchange(&client, b"GET /nothing/here/at/all HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        assert_eq!(status(&alive.await), 404, "beside {repeated:?}");
        eventually(DEADLINE, || async { poured().await > before }).await;
    }
}
