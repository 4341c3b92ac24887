//! The settings of the cluster: the validated `[cluster]` table, and what the routes ask of its log.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use crate::secret::Secret;

/// The settings of the cluster. They change with a restart only.
#[derive(Clone, Debug)]
pub struct ClusterSettings {
    /// The name that the gateways of this cluster share. Default: `rillgate`.
    pub name: ClusterName,
    /// The servers of the engine, tried in random order. Never empty.
    pub urls: Vec<EngineUrl>,
    /// One key, or two while it is changed, of at least 32 bytes each. The first names and signs; all verify.
    pub keys: Vec<Secret>,
    /// The credentials for the engine.
    pub credentials: EngineCredentials,
    /// The files for TLS with the engine.
    pub tls: EngineTls,
    /// The time after which a gateway that is not heard of is taken for dead. Default 3 s, 1 s to 60 s.
    pub lease: Duration,
    /// The number of servers that have each record: 1, 3 or 5. Default 3.
    pub replicas: usize,
    /// The most bytes of all logs in the engine. Default 1 GiB.
    pub bytes: u64,
    /// Whether the engine's streams are created and updated. False: they are only checked. Default: true.
    pub is_managed: bool,
    /// The most events that a log of any route keeps.
    pub log_events: usize,
    /// The longest age of an event in the log of any route.
    pub log_age: Duration,
}

/// A name of at most 32 letters, digits, `-` and `_`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterName(String);

/// The address of a server of the engine, with the scheme `nats` or `tls`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineUrl(Url);

/// The credentials for the engine. Whitespace around nkeys is ignored.
#[derive(Clone, Debug, Default)]
pub enum EngineCredentials {
    /// None.
    #[default]
    Anonymous,
    /// A token.
    Token(Secret),
    /// A user with a password.
    Password {
        /// The user.
        user: String,
        /// The password.
        password: Secret,
    },
    /// The seed of an nkey of a user.
    Nkey(Secret),
    /// The content of a credentials file: a user's JWT and the seed of its nkey.
    File(Secret),
}

/// The files for TLS with the engine. They are read at each connect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EngineTls {
    /// The authorities that the engine's certificate may come from. Default: those of the system.
    pub ca_file: Option<PathBuf>,
    /// The chain and the key of the gateway's own certificate.
    pub client_certificate: Option<(PathBuf, PathBuf)>,
}

impl ClusterSettings {
    /// Returns true if a gateway that was started with `running` does what these settings ask for. What routes ask of
    /// the log may be less than at the start.
    pub fn is_covered_by(&self, running: &Self) -> bool {
        let Self { name, urls, keys, credentials, tls, lease, replicas, bytes, is_managed, log_events, log_age } = self;
        *name == running.name
            && *urls == running.urls
            && keys.len() == running.keys.len()
            && keys.iter().zip(&running.keys).all(|(one, other)| one.is_same(other))
            && credentials.is_same(&running.credentials)
            && *tls == running.tls
            && *lease == running.lease
            && *replicas == running.replicas
            && *bytes == running.bytes
            && *is_managed == running.is_managed
            && *log_events <= running.log_events
            && *log_age <= running.log_age
    }
}

impl EngineCredentials {
    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Anonymous, Self::Anonymous) => true,
            (Self::Token(one), Self::Token(other))
            | (Self::Nkey(one), Self::Nkey(other))
            | (Self::File(one), Self::File(other)) => one.is_same(other),
            (Self::Password { user, password }, Self::Password { user: other_user, password: other_password }) => {
                user == other_user && password.is_same(other_password)
            }
            (Self::Anonymous | Self::Token(_) | Self::Password { .. } | Self::Nkey(_) | Self::File(_), _) => false,
        }
    }
}

impl ClusterName {
    /// Reads a name.
    ///
    /// # Errors
    /// The rule that the text breaks.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let is_valid = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if text.is_empty() || text.len() > 32 || !text.bytes().all(is_valid) {
            return Err("must be 1 to 32 letters, digits, `-` and `_`");
        }
        Ok(Self(text.to_owned()))
    }

    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl EngineUrl {
    /// Reads an address: `nats://HOST:PORT` or `tls://HOST:PORT`. The port is 4222 where none is given.
    ///
    /// # Errors
    /// The rule that the text breaks.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let url = Url::parse(text).map_err(|_| "is not a URL")?;
        if !matches!(url.scheme(), "nats" | "tls") {
            return Err("must begin with nats:// or tls://");
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err("must have a host");
        }
        // Log lines and answers of the admin port show addresses.
        if !url.username().is_empty() || url.password().is_some() {
            return Err("must not have credentials: they have keys of their own");
        }
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err("must not have a path");
        }
        Ok(Self(url))
    }

    /// Whether the connection uses TLS from the first byte of ours, whatever the engine asks for.
    pub fn is_tls(&self) -> bool {
        self.0.scheme() == "tls"
    }

    /// Returns the host, as it was written.
    pub fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }
}

impl fmt::Display for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for EngineUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_letters_digits_and_dashes() {
        for text in ["rillgate", "a-b_C9", &"x".repeat(32)] {
            assert_eq!(ClusterName::parse(text).map(|name| name.to_string()), Ok(text.to_owned()));
        }
        for text in ["", "a.b", "a*", "a b", "ä", &"x".repeat(33)] {
            assert!(ClusterName::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn addresses_have_a_scheme_and_no_secrets() {
        for text in ["nats://n1:4222", "tls://n1.example.com", "tls://[::1]:4222", "nats://127.0.0.1:1"] {
            assert_eq!(EngineUrl::parse(text).map(|url| url.to_string()), Ok(text.to_owned()));
        }
        for text in ["n1:4222", "http://n1", "nats://u:p@n1", "nats://u@n1", "tls://n1/x", "tls://n1?x", "nats://", ""]
        {
            assert!(EngineUrl::parse(text).is_err(), "{text}");
        }
    }
}
