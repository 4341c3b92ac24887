//! A public catch-all beside an authorized route never serves that route's paths in another spelling.

use serde_json::json;

use crate::fixture::{PROTOCOLS, Site, config, everything, full, get, send, start, token};
use crate::support::client::Client;
use crate::support::raw::{Raw, status};

const ADMIN: &str = "[[routes]]\nname = \"admin\"\npath = \"/admin/{*rest}\"\nupstream = \"app\"\n\
    [routes.auth]\nissuers = [\"main\"]\n[routes.forward]\n\
    [[routes]]\nname = \"account\"\npath = \"/account\"\nupstream = \"app\"\n\
    [routes.auth]\nissuers = [\"main\"]\n[routes.forward]\n";

#[tokio::test]
async fn no_spelling_of_an_authorized_path_is_public() {
    for forward in ["", "encoded_slash = true"] {
        let site = Site::start().await;
        let gateway = start(&config(&site.url(), &format!("{ADMIN}{}", everything(forward)))).await;
        let client = Client::http1(gateway.address());

        for path in [
            "/admin/users",
            "/admin/",
            "/admin",
            "/ADMIN/users",
            "/Admin/",
            "/aDMIN",
            "/admin//users",
            "//admin/users",
            "/admin%2Fusers",
            "/admin%2fusers",
            "/%2Fadmin/users",
            "/%61dmin/users",
            "/%41dmin/users",
            "/adm%69n/",
            "/admin;a=1/users",
            "/admin;/users",
            "/;/admin/users",
            "/admin%3B/users",
            "/./admin/users",
            "/x/../admin/users",
            "/x/%2e%2e/admin/users",
            "/x%2F..%2Fadmin/users",
            "/admin/%2e/users",
            "/admin\\users",
            "/%5Cadmin/users",
            "/admin%5Cusers",
            "/admin%00/users",
            "/admin%252Fusers",
            "/account",
            "/account/",
            "/ACCOUNT",
            "/Account/",
            "/account;x",
            "/%61ccount",
            "/account%2F",
            "/account//",
            "/account/.",
            "/account%20/..",
            "/account%",
            "/ad%C0%AFmin",
            "/%ef%bd%81dmin%2f..%2fadmin/x",
        ] {
            let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
            let answer = Raw::exchange(&client, request.as_bytes()).await;

            assert!([400, 401, 404].contains(&status(&answer)), "{forward:?} {path}: {answer}");
        }
        assert_eq!(site.stats().await["requests"], json!(1), "none was sent on: {}", site.stats().await["targets"]);

        let bearer = format!("Bearer {}", token(&json!({})));
        for (path, sent) in
            [("/admin/users", "/admin/users"), ("/%61dmin/%75sers", "/admin/users"), ("/account", "/account")]
        {
            let answer = get(&client, path, &[("authorization", &bearer)]).await;
            assert_eq!(answer.json()["url"], json!(sent));
        }
        for path in ["/", "/administrator", "/public/admin", "/accounts", "/a;b/c"] {
            assert_eq!(get(&client, path, &[]).await.status, 200, "{path}");
        }
    }
}

/// A route of a stream that needs a token.
const PRICES: &str = "[[routes]]\nname = \"prices\"\npath = \"/prices/{symbol}\"\nupstream = \"app\"\n\
    [routes.auth]\nissuers = [\"main\"]\n";

#[tokio::test]
async fn no_spelling_of_a_streams_path_is_public_over_either_protocol() {
    let site = Site::start().await;
    let gateway = start(&config(&site.url(), &format!("{PRICES}{ADMIN}{}", everything("encoded_slash = true")))).await;

    for protocol in PROTOCOLS {
        let client = Client::new(protocol, gateway.address());
        for path in [
            "/prices/EURUSD",
            "/prices/EURUSD/",
            "/PRICES/EURUSD",
            "/Prices/eurusd/",
            "/%70rices/EURUSD",
            "/%50RICES/EURUSD",
            "/prices//EURUSD",
            "//prices/EURUSD",
            "/prices%2FEURUSD",
            "/prices%2fEURUSD/",
            "/prices;a=1/EURUSD",
            "/prices/EURUSD;a=1",
            "/prices/EURUSD%3Ba",
            "/prices/./EURUSD",
            "/x/%2E%2E/prices/EURUSD",
            "/prices%5CEURUSD",
            "/prices%252FEURUSD",
            "/prices/EUR%2fUSD",
            "/ADMIN/users",
            "/%41dmin/users/",
            "/admin%2Fusers",
            "/account/",
            "/%41CCOUNT",
        ] {
            for method in ["GET", "POST"] {
                let status = send(&client, method, path, &[], full("")).await.unwrap().status.as_u16();
                assert!([400, 401, 404, 405].contains(&status), "{protocol:?} {method} {path}: {status}");
            }
        }
    }
    assert_eq!(site.stats().await["requests"], json!(1), "none was sent on: {}", site.stats().await["targets"]);

    // In the form for proxies, and with a host of another spelling, it is the same path.
    for target in ["http://localhost/ADMIN/users", "http://LOCALHOST/%61dmin/users", "http://localhost//account"] {
        let request = format!("GET {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        let answer = Raw::exchange(&Client::http1(gateway.address()), request.as_bytes()).await;
        assert!([400, 401, 404].contains(&status(&answer)), "{target}: {answer}");
    }
}

#[tokio::test]
async fn the_most_specific_route_wins_whatever_the_method() {
    let site = Site::start().await;
    let rest = "[[routes]]\nname = \"one\"\npath = \"/a/{name}\"\nupstream = \"app\"\nauth = \"public\"\n[routes.forward]\n\
        [[routes]]\nname = \"two\"\npath = \"/a/{*rest}\"\nupstream = \"app\"\nauth = \"public\"\n[routes.forward]\n\
        [[routes]]\nname = \"stream\"\npath = \"/a/events\"\nupstream = \"app\"\nauth = \"public\"\nupstream_path = \"/events\"\n\
        [routes.replay]\nstart = \"oldest\"\n";
    let gateway = start(&config(&site.url(), &format!("{}{rest}", everything("")))).await;

    for protocol in PROTOCOLS {
        let client = Client::new(protocol, gateway.address());
        let events = get(&client, "/a/events?limit=1", &[]).await;
        assert_eq!(events.header("content-type"), Some("text/event-stream"));
        let post = send(&client, "POST", "/a/events", &[], full("")).await.unwrap();
        assert_eq!(post.status, 405, "methods never fall through");
        for path in ["/a/b", "/a/b/c/", "/a/", "/b"] {
            assert_eq!(get(&client, path, &[]).await.json()["url"], json!(path));
        }
    }
    for (route, count) in [("one", 2.0), ("two", 4.0), ("site", 2.0)] {
        let labels = [&*format!("route=\"{route}\""), "status=\"200\""];
        crate::support::figures::wait_metric(&gateway, "forwarded_requests_total", &labels, count).await;
    }
}

#[tokio::test]
async fn an_encoded_slash_passes_only_where_the_route_says_so() {
    let site = Site::start().await;
    for (forward, status) in [("", 400), ("encoded_slash = true", 200)] {
        let gateway = start(&config(&site.url(), &everything(forward))).await;

        let answer = get(&Client::http1(gateway.address()), "/a%2fb/c%41", &[]).await;

        assert_eq!(answer.status.as_u16(), status);
        if status == 200 {
            assert_eq!(answer.json()["url"], json!("/a%2Fb/cA"));
        }
    }
}
