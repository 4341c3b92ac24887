//! The configuration files of the servers that are compared. Each gets what it needs to be fast: one worker, no access log,
//! nothing held back.

use std::time::Duration;

use crate::server::ServerSettings;

/// All that a production route has: tokens, limits, deadlines, metrics. Only the rates at which clients may come and the
/// shares of one address and one token are raised, because the clients of a run are few addresses with one token.
pub fn rillgate(settings: &ServerSettings, port: u16, admin: u16, producer: u16) -> String {
    let tls =
        if settings.is_tls { "tls = { certificates = [{ chain = \"chain.pem\", key = \"key.pem\" }] }\n" } else { "" };
    let mut text = format!(
        r#"[[listeners]]
address = "127.0.0.1:{port}"
{tls}
[admin]
address = "127.0.0.1:{admin}"

[limits]
accepts_per_second = 50000
handshakes_per_second = 50000
connections_per_ip = 1000
subscriptions_per_ip = 1000000
subscriptions_per_subject = 100000

[issuers.main]
issuer = "https://id.example.com/"
audience = ["bench"]
keys = [{{ secret = {{ file = "secret" }}, algorithm = "HS256" }}]

[upstreams.producer]
urls = ["http://127.0.0.1:{producer}"]

[[routes]]
name = "feed"
path = "/feed/{{name}}"
upstream = "producer"
auth = {{ issuers = ["main"], streams_claim = "streams" }}
replay = {{ events = {log}, bytes = "4GiB" }}
delivery = {{ max_age = "1h", gather = "{gather}ms", compression = [{coding}], heartbeat = "{heartbeat}" }}
"#,
        log = settings.log,
        gather = settings.gather.as_millis(),
        // A heartbeat would be counted as an event where clients count chunks.
        heartbeat = if settings.content.is_some() { "10m" } else { "15s" },
        coding = settings
            .content
            .and_then(|content| content.coding)
            .map_or(String::new(), |coding| format!("\"{}\"", coding.name())),
    );
    for route in 0..settings.routes {
        text.push_str(&format!(
            "\n[[routes]]\nname = \"other-{route}\"\npath = \"/other-{route}/{{name}}\"\nupstream = \"producer\"\n\
             auth = {{ issuers = [\"main\"] }}\n"
        ));
    }
    text
}

/// The configuration of a gateway that shares its streams through an engine.
pub fn shared(alone: &str, urls: &[String], replicas: usize, lease: Duration) -> String {
    let text = alone.replace("bytes = \"4GiB\"", "bytes = \"4GiB\", store = \"cluster\"");
    let urls: Vec<_> = urls.iter().map(|url| format!("\"{url}\"")).collect();
    format!(
        "{text}\n[cluster]\nurls = [{}]\nkey = {{ file = \"cluster.key\" }}\nreplicas = {replicas}\nlease = \"{}s\"\n\
         bytes = \"4GiB\"\n",
        urls.join(", "),
        lease.as_secs()
    )
}

/// The path of the module in Debian.
pub const NCHAN: &str = "/usr/lib/nginx/modules/ngx_nchan_module.so";

const NGINX: &str = "user root;
daemon off;
worker_processes 1;
pid nginx.pid;
error_log stderr error;
events { worker_connections 19900; }
";

const NGINX_HTTP: &str = "access_log off;
client_body_temp_path body;
proxy_temp_path proxy;
fastcgi_temp_path fastcgi;
uwsgi_temp_path uwsgi;
scgi_temp_path scgi;
keepalive_requests 1000000000;
keepalive_timeout 1h;
";

fn nginx_listen(settings: &ServerSettings, port: u16) -> String {
    match settings.is_tls {
        false => format!("listen 127.0.0.1:{port} backlog=4096;\n"),
        true => format!(
            "listen 127.0.0.1:{port} ssl backlog=4096;\nssl_certificate chain.pem;\nssl_certificate_key key.pem;\n\
             ssl_protocols TLSv1.3;\n"
        ),
    }
}

/// nginx with nchan: clients subscribe at `port`, the producer posts at `posts`.
pub fn nchan(settings: &ServerSettings, port: u16, posts: u16) -> String {
    let listen = nginx_listen(settings, port);
    format!(
        "load_module {NCHAN};\n{NGINX}http {{\n{NGINX_HTTP}nchan_shared_memory_size 512m;\n\
         server {{\n{listen}location /feed/ {{ nchan_subscriber eventsource; nchan_channel_id bench; \
         nchan_message_buffer_length 1000; nchan_message_timeout 10m; nchan_subscriber_first_message newest; }}\n}}\n\
         server {{\nlisten 127.0.0.1:{posts};\nlocation = /post {{ nchan_publisher; nchan_channel_id bench; \
         nchan_message_buffer_length 1000; nchan_message_timeout 10m; }}\n}}\n}}\n"
    )
}

/// nginx as a proxy that holds nothing back.
pub fn proxy(settings: &ServerSettings, port: u16, producer: u16) -> String {
    let listen = nginx_listen(settings, port);
    format!(
        "{NGINX}http {{\n{NGINX_HTTP}server {{\n{listen}location / {{ proxy_pass http://127.0.0.1:{producer}; \
         proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_buffering off; proxy_read_timeout 1h; }}\n}}\n}}\n"
    )
}

/// HAProxy likewise.
pub fn haproxy(settings: &ServerSettings, port: u16, producer: u16) -> String {
    let tls = if settings.is_tls {
        format!(" ssl crt {} ssl-min-ver TLSv1.3", settings.folder.join("both.pem").display())
    } else {
        String::new()
    };
    format!(
        "global\n  maxconn 9500\n  nbthread 1\n\ndefaults\n  mode http\n  timeout connect 10s\n  timeout client 1h\n  \
         timeout server 1h\n\nfrontend clients\n  bind 127.0.0.1:{port}{tls}\n  default_backend producer\n\n\
         backend producer\n  server producer 127.0.0.1:{producer}\n"
    )
}

/// Caddy likewise. On every address it would be in the way of the clients, which come from some of them.
pub fn caddy(settings: &ServerSettings, port: u16, producer: u16) -> String {
    let (scheme, tls) = match settings.is_tls {
        true => {
            let folder = settings.folder.display();
            ("https", format!("tls {folder}/chain.pem {folder}/key.pem\n"))
        }
        false => ("http", String::new()),
    };
    format!(
        "{{\n  admin off\n  auto_https off\n}}\n{scheme}://localhost:{port} {{\n  bind 127.0.0.1\n  {tls}  reverse_proxy \
         127.0.0.1:{producer} {{\n    flush_interval -1\n  }}\n}}\n"
    )
}
