//! The client's own log lines, at their most verbose, which the default filter drops.

use std::io;
use std::sync::Arc;

use nkeys::KeyPair;
use parking_lot::Mutex;
use rillgate::cluster::{ClusterSettings, EngineCredentials};
use rillgate::secret::Secret;
use tracing::instrument::WithSubscriber;
use tracing_subscriber::fmt::MakeWriter;

use super::fixture::{Running, settings};
use super::operator::Operator;
use crate::support::nats::NatsServer;

/// The lines that were logged.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'w> MakeWriter<'w> for Lines {
    type Writer = Self;

    fn make_writer(&'w self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn no_log_line_shows_a_credential() {
    let (operator, user) = (Operator::new(), KeyPair::new_user());
    let seed = user.seed().unwrap();
    let file = operator.credentials();
    let jwt = file.lines().nth(1).unwrap().to_owned();
    let file_seed = file.lines().nth(5).unwrap().to_owned();
    let password = EngineCredentials::Password { user: "gateway".to_owned(), password: Secret::new("hush-password") };
    let cases = [
        ("authorization { token: \"hush-token\" }".to_owned(), EngineCredentials::Token(Secret::new("hush-token"))),
        ("authorization { user: gateway, password: \"hush-password\" }".to_owned(), password),
        (
            format!("authorization {{ users: [ {{ nkey: {} }} ] }}", user.public_key()),
            EngineCredentials::Nkey(Secret::new(seed.clone())),
        ),
        (operator.config(), EngineCredentials::File(Secret::new(file))),
    ];

    for (config, credentials) in cases {
        let lines = Lines::default();
        let subscriber =
            tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(lines.clone()).finish();
        // The tasks of the client run on this thread, so they log to this subscriber too.
        let guard = tracing::subscriber::set_default(subscriber);
        let server = NatsServer::start_with(&config).await;
        let settings = ClusterSettings { credentials, ..settings(&[server.url()]) };
        async { drop(Running::connected(settings).await) }.with_current_subscriber().await;
        drop(guard);

        let text = String::from_utf8_lossy(&lines.0.lock()).into_owned();
        assert!(text.contains("async_nats"), "the client has logged: {text}");
        assert!(file_seed.starts_with('S') && jwt.starts_with("ey"), "the parts of the file");
        for secret in ["hush-token", "hush-password", &seed, &jwt, &file_seed] {
            assert!(!text.contains(secret), "a line shows {secret}");
        }
    }
}
