//! A gateway under attack: a route that `POST` opens, one that forwards, and a reader of a stream beside them.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};

use crate::support::client::{Client, Protocol};
use crate::support::origin::{Emission, Origin};
use crate::support::server::Rillgate;
use crate::support::subscription::Subscription;
use crate::support::wait::{DEADLINE, within};

/// The path of the route that `POST` opens.
pub const OPENED_BY_POST: &str = "/chat";

/// A path of the route that forwards.
pub const FORWARDED: &str = "/site/page";

/// Each kind of route over each protocol.
pub const KINDS: [(&str, Protocol); 4] = [
    (OPENED_BY_POST, Protocol::Http1),
    (OPENED_BY_POST, Protocol::Http2),
    (FORWARDED, Protocol::Http1),
    (FORWARDED, Protocol::Http2),
];

/// A gateway in front of a hostile upstream, and a reader of a stream of another one.
pub struct Attacked {
    pub gateway: Rillgate,
    friendly: Origin,
    reader: Subscription,
    events: usize,
}

impl Attacked {
    /// Starts a gateway with short timeouts in front of the upstream at this URL.
    pub async fn start(url: &str) -> Self {
        let friendly = Origin::start().await;
        let config = format!(
            "[admin]\naddress = \"127.0.0.1:0\"\n\
             [limits]\nheader_timeout = \"1s\"\nidle_timeout = \"5s\"\nstream_opens_per_second = {{ ip = 10000, route = 10000 }}\n\
             [[listeners]]\naddress = \"127.0.0.1:0\"\n\
             [upstreams.friendly]\nurls = [\"{}\"]\n\
             [upstreams.hostile]\nurls = [\"{url}\"]\nopen_timeout = \"700ms\"\nconnect_timeout = \"300ms\"\n\
             [[routes]]\nname = \"reader\"\npath = \"/reader\"\nupstream = \"friendly\"\nauth = \"public\"\n\
             [[routes]]\nname = \"chat\"\npath = \"{OPENED_BY_POST}\"\nupstream = \"hostile\"\nauth = \"public\"\n\
             [routes.post]\nkey = \"each\"\nbody_timeout = \"500ms\"\nforward_headers = [\"x-number\"]\n\
             [[routes]]\nname = \"site\"\npath = \"/site/{{*rest}}\"\nupstream = \"hostile\"\nauth = \"public\"\n\
             [routes.forward]\nresponse_timeout = \"700ms\"\nidle_timeout = \"1s\"\n",
            friendly.url()
        );
        let gateway = Rillgate::start(&config).await;
        let reader = Client::http1(gateway.address()).subscribe("/reader", &[]).await;
        friendly.wait_open(1).await;
        Self { gateway, friendly, reader, events: 0 }
    }

    pub fn client(&self, protocol: Protocol) -> Client {
        Client::new(protocol, self.gateway.address())
    }

    /// # Panics
    /// Panics if the reader does not get its next event.
    pub async fn assert_reader_unharmed(&mut self) {
        self.events += 1;
        let number = self.events.to_string();
        self.friendly.emit(Emission::event(&number, "", &number));
        assert_eq!(self.reader.next_event(DEADLINE).await.data, number);
        assert!(self.gateway.exit_status().is_none());
        assert!(self.gateway.log().iter().all(|line| !line.contains("panicked")));
    }
}

/// Begins a `POST` on a connection of its own, which lives as long as the response.
pub async fn begin(
    client: &Client,
    path: &str,
    fields: &[(&str, &str)],
    body: &'static str,
) -> hyper::Result<Response<Incoming>> {
    let transport = TokioIo::new(within(DEADLINE, "connection", client.dial()).await.unwrap());
    let mut request = Request::post(match client.is_http2() {
        true => format!("http://localhost{path}"),
        false => path.to_owned(),
    });
    if !client.is_http2() {
        request = request.header("host", "localhost");
    }
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(Bytes::from_static(body.as_bytes()))).unwrap();
    if client.is_http2() {
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), transport).await?;
        tokio::spawn(connection);
        within(DEADLINE, "head", sender.send_request(request)).await
    } else {
        let (mut sender, connection) = http1::handshake(transport).await?;
        tokio::spawn(connection);
        within(DEADLINE, "head", sender.send_request(request)).await
    }
}
