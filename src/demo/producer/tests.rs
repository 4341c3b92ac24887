use std::time::Instant;

use http_body_util::Empty;
use tokio_util::task::TaskTracker;

use super::*;

const PATIENCE: Duration = Duration::from_secs(10);

async fn producer() -> Producer {
    let tasks = TaskTracker::new();
    let spawn = move |task: BoxFuture<'static, ()>| drop(tasks.spawn(task));
    Producer::start(Arc::new(|| json!({ "subscribers": 3 })), spawn).await.unwrap()
}

/// A client with one response. Dropping it closes the connection.
struct Client {
    response: Response<Incoming>,
    text: String,
    _connection: tokio::task::JoinSet<()>,
}

impl Client {
    async fn get(producer: &Producer, path: &str, last_event_id: Option<&str>) -> Self {
        Self::ask(producer, Method::GET, path, last_event_id).await
    }

    async fn ask(producer: &Producer, method: Method, path: &str, last_event_id: Option<&str>) -> Self {
        let socket = TcpStream::connect(producer.address()).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(socket)).await.unwrap();
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(async move {
            let _ = connection.await;
        });
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, "localhost");
        if let Some(id) = last_event_id {
            request = request.header("last-event-id", id);
        }
        let response = sender.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
        Self { response, text: String::new(), _connection: tasks }
    }

    /// Returns the lines of the next event.
    async fn event(&mut self) -> Vec<String> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let event = event.lines().map(str::to_owned).collect();
                self.text = rest.to_owned();
                return event;
            }
            let frame = tokio::time::timeout(PATIENCE, self.response.body_mut().frame()).await.expect("an event");
            let frame = frame.expect("a stream without end").unwrap();
            self.text += std::str::from_utf8(frame.data_ref().unwrap()).unwrap();
        }
    }

    async fn id(&mut self) -> String {
        self.event().await[0].strip_prefix("id: ").expect("an id first").to_owned()
    }

    async fn data(&mut self) -> Value {
        let event = self.event().await;
        serde_json::from_str(event.last().unwrap().strip_prefix("data: ").expect("data last")).unwrap()
    }
}

fn number(id: &str) -> u64 {
    id.split_once('-').unwrap().1.parse().unwrap()
}

async fn until(what: &str, fact: impl Fn() -> bool) {
    let start = Instant::now();
    while !fact() {
        assert!(start.elapsed() < PATIENCE, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn ids_increase_by_one_and_data_is_json() {
    let producer = producer().await;
    let mut client = Client::get(&producer, "/prices/EURUSD", None).await;
    assert_eq!(client.response.headers()[header::CONTENT_TYPE], "text/event-stream");

    let (one, two) = (client.id().await, client.id().await);
    let data = client.data().await;

    assert_eq!(number(&two), number(&one) + 1);
    assert!(data["bid"].is_f64() && data["at"].is_u64(), "{data}");
}

#[tokio::test]
async fn a_resume_continues_after_the_id_without_loss() {
    let producer = producer().await;
    let mut witness = Client::get(&producer, "/prices/BTCUSD", None).await;
    let first = witness.id().await;
    let missed = [witness.id().await, witness.id().await];

    let mut resumed = Client::get(&producer, "/prices/BTCUSD", Some(&first)).await;

    assert_eq!([resumed.id().await, resumed.id().await], missed);
    assert_eq!(number(&resumed.id().await), number(&missed[1]) + 1);
}

#[tokio::test]
async fn open_connections_are_counted_per_stream() {
    let producer = producer().await;
    assert_eq!(producer.connections()["/trades"], 0);

    let clients = [Client::get(&producer, "/trades", None).await, Client::get(&producer, "/trades", None).await];
    let deploys = Client::get(&producer, "/deploys", None).await;

    assert_eq!((producer.connections()["/trades"], producer.connections()["/deploys"]), (2, 1));
    drop(clients);
    until("the clients that left are not counted", || producer.connections()["/trades"] == 0).await;
    assert_eq!(producer.connections()["/deploys"], 1);
    drop(deploys);
}

#[tokio::test]
async fn status_reports_connections_and_the_gateways_part() {
    let producer = producer().await;
    let _client = Client::get(&producer, "/prices/EURUSD", None).await;

    let status = Client::get(&producer, "/status", None).await.data().await;

    assert_eq!(status["producer"]["connections"]["/prices/EURUSD"], 1);
    assert_eq!(status["producer"]["connections"]["/tokens"], 0);
    assert_eq!(status["gateway"], json!({ "subscribers": 3 }));
}

#[tokio::test]
async fn what_is_not_there_is_404_and_what_is_not_get_is_405() {
    let producer = producer().await;

    for path in ["/", "/prices", "/prices/", "/prices/NOPE", "/prices/EURUSD/x", "/statuses"] {
        assert_eq!(Client::get(&producer, path, None).await.response.status(), StatusCode::NOT_FOUND, "{path}");
    }
    for (method, path, allowed) in [(Method::POST, "/trades", "GET"), (Method::GET, "/answers", "POST")] {
        let refused = Client::ask(&producer, method, path, None).await;
        assert_eq!(refused.response.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(refused.response.headers()[header::ALLOW], allowed);
    }
    let empty = Client::ask(&producer, Method::POST, "/answers", None).await;
    assert_eq!(empty.response.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_dropped_producer_closes_its_connections() {
    let producer = producer().await;
    let mut client = Client::get(&producer, "/deploys", None).await;

    drop(producer);

    // The chunked body is incomplete, so it ends in an error or at once.
    tokio::time::timeout(PATIENCE, async { while let Some(Ok(_)) = client.response.body_mut().frame().await {} })
        .await
        .expect("the connection is closed");
}
