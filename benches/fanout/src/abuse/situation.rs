//! The situations: what is configured, what attacks, and what honest clients ask for meanwhile.

use super::attack::Attack;

/// The name server of the situation in which one hangs.
pub const NAME_SERVER: &str = "127.77.0.53:53";

/// The request of the honest clients that arrive one after another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Newcomer {
    /// A stream of its own.
    NewStream,
    /// A stream of its own at an upstream whose host has a name.
    NewNamedStream,
    /// The events after an old id, and the verdict `resumed`.
    Resumption,
    /// The stream of the readers.
    OpenStream,
    /// The stream of the readers, with a token of a key that is new since the attack began.
    NewKey,
}

/// The source of the keys of the readers' route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    /// The route is public.
    None,
    /// One key in a file, for tokens without `kid`.
    File,
    /// A key set at the honest producer.
    KeySet,
}

/// The surroundings in which the gateway is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surroundings {
    /// As usual.
    Plain,
    /// With a hard limit of 512 open files.
    FewFiles,
    /// With a standard error that nobody reads until the attack has ended.
    FullStderr,
    /// With a name server that takes questions and answers none. Needs root.
    HangingNameServer,
}

/// A situation.
#[derive(Clone, Copy, Debug)]
pub struct Situation {
    /// Its number in the security review.
    pub number: &'static str,
    /// The attack in words.
    pub title: &'static str,
    pub attack: Attack,
    pub seconds: u64,
    pub is_tls: bool,
    /// `limits.memory` in MiB.
    pub memory: u64,
    /// More lines of `[limits]`.
    pub limits: &'static str,
    /// More tables. `{hostile}` and `{honest}` are the ports of the producers.
    pub tables: &'static str,
    pub keys: Keys,
    pub newcomer: Newcomer,
    pub surroundings: Surroundings,
    /// Whether nginx is attacked in the same way.
    pub has_control: bool,
    /// Whether what is held are a producer's bytes, so that only `memory` bounds it, not what the client sent.
    pub holds_events: bool,
    /// The most requests that the attacker's producer may get.
    pub upstream_requests: Option<u64>,
}

const PLAIN: Situation = Situation {
    number: "",
    title: "",
    attack: Attack::Resets,
    seconds: 8,
    is_tls: false,
    memory: 96,
    limits: "",
    tables: "",
    keys: Keys::None,
    newcomer: Newcomer::NewStream,
    surroundings: Surroundings::Plain,
    has_control: false,
    holds_events: false,
    upstream_requests: None,
};

/// Raises the rates and shares of streams, which would stop the attack before it reaches what the row is about.
const UNSHARED: &str = "subscriptions_per_ip = 100000\nstreams_per_ip = 100000\n\
                        stream_opens_per_second = { ip = 100000, route = 100000 }";

/// All situations, the gravest first.
pub const SITUATIONS: [Situation; 17] = [
    Situation {
        number: "33",
        title: "streams reset after their head; the connection's window stays shut",
        attack: Attack::Resets,
        seconds: 20,
        memory: 64,
        has_control: true,
        ..PLAIN
    },
    Situation {
        number: "07",
        title: "10,000 made-up streams of a producer that greets with 8 MB",
        attack: Attack::Greeted,
        seconds: 30,
        memory: 256,
        limits: UNSHARED,
        newcomer: Newcomer::OpenStream,
        holds_events: true,
        ..PLAIN
    },
    Situation {
        number: "19",
        title: "an upstream sends comments at line rate",
        attack: Attack::Comments,
        has_control: true,
        holds_events: true,
        ..PLAIN
    },
    Situation {
        number: "03",
        title: "made-up keys of an unreachable upstream, opened and reset",
        attack: Attack::Keys,
        seconds: 15,
        memory: 128,
        limits: UNSHARED,
        tables: "[upstreams.unreachable]\nurls = [\"http://127.0.0.1:1\"]\nbackoff = { initial = \"30s\", max = \"30s\" }\n\
                 [[routes]]\nname = \"unreachable\"\npath = \"/unreachable/{key}\"\nupstream = \"unreachable\"\n\
                 auth = \"public\"\ndelivery = { linger = \"10m\" }\n",
        has_control: true,
        ..PLAIN
    },
    Situation {
        number: "05",
        title: "2,000 subscriptions with 8 connections of one address",
        attack: Attack::Subscriptions,
        limits: "streams = 1500\nsubscribers = 3000",
        has_control: true,
        ..PLAIN
    },
    Situation {
        number: "06",
        title: "500 connects a second that say nothing",
        attack: Attack::Connects,
        is_tls: true,
        limits: "handshakes_per_second = 200",
        has_control: true,
        ..PLAIN
    },
    Situation {
        number: "02",
        title: "refused requests while nobody reads standard error",
        attack: Attack::Refusals,
        surroundings: Surroundings::FullStderr,
        ..PLAIN
    },
    Situation {
        number: "09",
        title: "600 keys of an upstream whose name is never resolved",
        attack: Attack::Names,
        seconds: 12,
        tables: "[upstreams.unresolved]\nurls = [\"http://producer.example.test:9000\"]\n\
                 [[routes]]\nname = \"unresolved\"\npath = \"/unresolved/{key}\"\nupstream = \"unresolved\"\n\
                 auth = \"public\"\n\
                 [upstreams.named]\nurls = [\"http://localhost:{honest}\"]\n\
                 [[routes]]\nname = \"named\"\npath = \"/named/{key}\"\nupstream = \"named\"\nauth = \"public\"\n\
                 upstream_path = \"/feed/{key}\"\ndelivery = { linger = \"1s\" }\n",
        newcomer: Newcomer::NewNamedStream,
        surroundings: Surroundings::HangingNameServer,
        ..PLAIN
    },
    Situation {
        number: "10",
        title: "250 readers that take 64 B a second of events of 1 MB",
        attack: Attack::Trickle,
        seconds: 12,
        memory: 128,
        has_control: true,
        holds_events: true,
        ..PLAIN
    },
    Situation {
        number: "13",
        title: "a token of 4 KB with a bad signature, 17 B a request",
        attack: Attack::BadTokens,
        keys: Keys::File,
        ..PLAIN
    },
    Situation {
        number: "18",
        title: "a token with a made-up `kid` each second, while a key is rotated",
        attack: Attack::KeyIds,
        keys: Keys::KeySet,
        seconds: 20,
        newcomer: Newcomer::NewKey,
        ..PLAIN
    },
    Situation {
        number: "17",
        title: "700 silent connections of one address; 512 open files",
        attack: Attack::Idle,
        surroundings: Surroundings::FewFiles,
        has_control: true,
        ..PLAIN
    },
    Situation {
        number: "11",
        title: "made-up keys of a healthy upstream, opened and reset",
        attack: Attack::Opens,
        has_control: true,
        upstream_requests: Some(600),
        ..PLAIN
    },
    Situation {
        number: "12",
        title: "16 readers of the past that read nothing",
        attack: Attack::Backlogs,
        memory: 128,
        tables: "[[routes]]\nname = \"past\"\npath = \"/past/{name}\"\nupstream = \"honest\"\nauth = \"public\"\n\
                 replay = { events = 20, read_through = true }\ndelivery = { linger = \"1s\" }\n",
        newcomer: Newcomer::Resumption,
        holds_events: true,
        ..PLAIN
    },
    Situation {
        number: "23",
        title: "40 made-up keys with 8 MB each, in a store that others need",
        attack: Attack::Store,
        memory: 512,
        tables: "[store]\npath = \"store\"\nbytes = \"4MiB\"\n\
                 [[routes]]\nname = \"private\"\npath = \"/private/{name}\"\nupstream = \"honest\"\nauth = \"public\"\n\
                 replay = { store = \"disk\" }\ndelivery = { linger = \"1s\" }\n",
        holds_events: true,
        ..PLAIN
    },
    Situation {
        number: "22",
        title: "64 pipelines to the admin port that nobody reads",
        attack: Attack::Pipelines,
        ..PLAIN
    },
    Situation {
        number: "21",
        title: "10,000 subscriptions over HTTP/2 with windows of 0",
        attack: Attack::Windows,
        memory: 128,
        has_control: true,
        ..PLAIN
    },
];
