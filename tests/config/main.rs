//! Problems of a configuration file are reported all at once, at the right position, and without secrets.

mod cluster;
mod mistakes;
mod queries;
mod secrets;
mod upstreams;

use rillgate::config::{Config, Problems};

/// A valid file. Test cases replace parts of it; `# top` is line 1 and `# end` line 15.
const GOOD: &str = r#"# top
[[listeners]]
address = "127.0.0.1:8080"
[upstreams.events]
urls = ["http://127.0.0.1:9000"]
[issuers.main]
issuer = "https://id.example.com/"
audience = ["rillgate"]
keys = [{ jwks_url = "https://id.example.com/jwks.json" }]
[[routes]]
name = "events"
path = "/events/{topic}"
upstream = "events"
auth = "public"
# end
"#;

/// Parts of [`GOOD`] that tests replace.
const KEYS: &str = "{ jwks_url = \"https://id.example.com/jwks.json\" }";
const URL: &str = "\"http://127.0.0.1:9000\"";
const LISTENER: &str = "address = \"127.0.0.1:8080\"";

/// A secret that must not appear in any output.
const SECRET: &str = "hunter2-hunter2-hunter2-hunter2-hunter2";

/// A folder with certificates, keys and secrets.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().expect("a temporary folder"));
        let make = || rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
        let (first, second) = (make(), make());
        folder.write("server.pem", first.cert.pem().as_bytes());
        folder.write("server.key", first.signing_key.serialize_pem().as_bytes());
        folder.write("other.key", second.signing_key.serialize_pem().as_bytes());
        folder.write("public.pem", rcgen::KeyPair::public_key_pem(&first.signing_key).as_bytes());
        folder.write("jwks.json", br#"{"keys":[]}"#);
        folder.write("hmac.key", SECRET.as_bytes());
        folder.write("short.key", &SECRET.as_bytes()[..31]);
        folder.write("token", format!("Bearer {SECRET}\r\n").as_bytes());
        folder.write("two-lines", format!("{SECRET}\n{SECRET}\n").as_bytes());
        folder
    }

    fn write(&self, name: &str, content: &[u8]) {
        std::fs::write(self.0.path().join(name), content).expect("a file");
    }

    fn parse(&self, text: &str) -> Result<Config, Problems> {
        let environment = |name: &str| (name == "SET").then(|| SECRET.as_bytes().to_vec());
        Config::parse_with(text, &self.0.path().join("rillgate.toml"), &environment)
    }

    fn problems(&self, text: &str) -> Vec<String> {
        match self.parse(text) {
            Ok(_) => Vec::new(),
            Err(problems) => problems.iter().map(ToString::to_string).collect(),
        }
    }
}

#[test]
fn all_problems_are_reported_at_once_in_file_order() {
    let text = r#"
[[listeners]]
address = "127.0.0.1:0"
systemd = "public"
proxy_protocol = true

[limits]
headers = 5
conections = 5

[issuers.main]
issuer = 5
leeway = "2m"

[upstreams.events]
urls = []

[[routes]]
name = "a"
path = "a"
upstream = "events"
auth = { issuers = ["main", "other"] }

[[routes]]
name = "a"
path = "/a"
upstream = "event"
auth = "public"
replay.store = "disk"
"#;

    let problems = Folder::new().problems(text);

    let keys: Vec<_> =
        problems.iter().map(|problem| problem.split(": ").take(2).collect::<Vec<_>>().join(" ")).collect();
    let expected = [
        "4:11 listeners[0].systemd",
        "5:18 listeners[0].proxy_protocol",
        "8:11 limits.headers",
        "9:1 limits.conections",
        "11:1 issuers.main.audience",
        "11:1 issuers.main.keys",
        "12:10 issuers.main.issuer",
        "13:10 issuers.main.leeway",
        "16:8 upstreams.events.urls",
        "20:8 routes[0].path",
        "22:29 routes[0].auth.issuers[1]",
        "25:8 routes[1].name",
        "27:12 routes[1].upstream",
        "29:16 routes[1].replay.store",
    ];
    assert_eq!(keys, expected, "{problems:#?}");
}

#[test]
fn a_problem_contains_the_path_of_the_file_as_given() {
    let problems = Config::parse_with("limits = 5", "etc/gate.toml".as_ref(), &|_| None).expect_err("problems");

    let lines = [
        "etc/gate.toml:1:1: listeners: missing required key",
        "etc/gate.toml:1:10: limits: expected a table, found an integer",
    ];
    assert_eq!(problems.to_string().lines().collect::<Vec<_>>(), lines);
}

#[test]
fn a_missing_or_binary_file_is_a_problem_with_a_position() {
    let folder = Folder::new();
    folder.write("latin1.toml", b"# f\xfcr\nworkers = 5\n");
    let absent = Config::load(&folder.0.path().join("absent.toml")).expect_err("no file").to_string();
    let latin1 = Config::load(&folder.0.path().join("latin1.toml")).expect_err("not text").to_string();

    assert!(absent.contains("absent.toml:1:1: file: cannot be read: No such file"), "{absent}");
    assert!(latin1.ends_with("latin1.toml:1:4: file: not valid UTF-8"), "{latin1}");
}

#[test]
fn paths_are_relative_to_the_folder_of_the_file() {
    let folder = Folder::new();
    let tls = format!("{LISTENER}\ntls.certificates = [{{ chain = \"server.pem\", key = \"server.key\" }}]");
    let text = GOOD.replace(LISTENER, &tls).replace(KEYS, "{ pem_file = \"public.pem\", algorithm = \"ES256\" }");

    let config = folder.parse(&text).expect("a valid file");

    let tls = config.listeners[0].tls.as_ref().expect("TLS");
    assert_eq!(tls.certificates[0].chain, folder.0.path().join("server.pem"));
}

#[test]
fn an_https_upstream_uses_its_own_roots_and_client_certificate() {
    let folder = Folder::new();
    let tls = "\"https://[::1]:9000/base/\"]\ntls = { ca_file = \"server.pem\", \
               client_certificate = { chain = \"server.pem\", key = \"server.key\" } }";

    let config = folder.parse(&GOOD.replace(&format!("{URL}]"), tls)).expect("a valid file");

    let upstream = &config.upstreams["events"];
    let client = upstream.tls.as_ref().expect("a TLS client");
    assert_eq!(client.alpn_protocols, [b"http/1.1"]);
    assert!(client.client_auth_cert_resolver.has_certs());
    assert_eq!((upstream.origins[0].host(), upstream.origins[0].port()), ("::1", 9000));
    assert_eq!(upstream.origins[0].base, "/base");
}

#[test]
fn an_absent_admin_table_disables_the_port_and_an_empty_one_enables_the_default() {
    let folder = Folder::new();

    let with = folder.parse(&GOOD.replace("# top", "admin = {}")).expect("a valid file");
    let without = folder.parse(GOOD).expect("a valid file");

    assert_eq!(with.admin.map(|admin| admin.address.to_string()).as_deref(), Some("127.0.0.1:9464"));
    assert_eq!(without.admin, None);
    assert!(with.workers > 0);
}

#[test]
fn each_syntax_error_is_reported_once() {
    let folder = Folder::new();

    let unclosed = folder.problems(&GOOD.replace("[\"rillgate\"]", "[\"rillgate\""));
    let two = folder.problems(&GOOD.replace("# top", "a = ").replace("# end", "b = \"c"));

    assert!(unclosed[0].starts_with("9:1: syntax: "), "{unclosed:?}");
    assert_eq!(unclosed.len(), 1);
    assert_eq!(two.len(), 2, "{two:?}");
}

/// A value of a wrong type never makes the reader panic.
#[test]
fn any_value_at_any_key_is_accepted_or_reported() {
    let folder = Folder::new();
    let folder_path = folder.0.path().join("rillgate.toml");
    folder.write("ca.pem", &std::fs::read(folder.0.path().join("server.pem")).expect("the file written above"));
    let reference = include_str!("../../config/rillgate.toml");
    let lines: Vec<_> = reference.lines().collect();
    let others = ["5", "-1", "1.5", "true", "\"\"", "\"x\"", "\"9999999999999999999d\"", "[]", "[[]]", "[\"x\"]", "{}"];
    let others =
        others.into_iter().chain(["[{}]", "{ x = 1 }", "1979-05-27", "{ file = \"x\" }", "inf", "0x7fffffffffffffff"]);
    let mut tried = 0;

    for other in others {
        for (index, line) in lines.iter().enumerate() {
            let Some((key, _)) = line.split_once(" = ").filter(|(key, _)| !key.starts_with('#')) else { continue };
            let mut changed: Vec<String> = lines.iter().map(|&line| line.to_owned()).collect();
            changed[index] = format!("{key} = {other}");
            if let Err(problems) = Config::parse_with(&changed.join("\n"), &folder_path, &|_| None) {
                assert!(problems.iter().all(|problem| problem.line <= lines.len()), "{key} = {other}: {problems}");
            }
            tried += 1;
        }
    }

    assert!(tried > 1000, "only {tried} tried");
}
