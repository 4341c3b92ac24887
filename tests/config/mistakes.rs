//! A table of single problems, one of each kind, and the test that runs it.

use super::{Folder, GOOD, KEYS, LISTENER, URL};

const ROUTE_AUTH: &str = "auth = \"public\"";

/// The name of the case, the text replaced in [`GOOD`], its replacement, the expected position, and a part of the message.
type Case = (&'static str, &'static str, &'static str, &'static str, &'static str);

#[rustfmt::skip]
const CASES: &[Case] = &[
    // Keys
    ("unknown table", "# top", "sever.workers = 1", "1:1: sever: ", "(did you mean \"server\"?)"),
    ("unknown key", "# top", "server.worker = 1", "1:8: server.worker: ", "(did you mean \"workers\"?)"),
    ("unknown key in a list", LISTENER, "adress = \"127.0.0.1:8080\"\naddress = \"127.0.0.1:8080\"", "3:1: listeners[0].adress: ", "(did you mean \"address\"?)"),
    ("key in the wrong table", "# end", "heartbeat = \"5s\"", "15:1: routes[0].heartbeat: ", "(did you mean \"delivery.heartbeat\"?)"),
    ("a key similar to no other", "# top", "log.colour = true", "1:5: log.colour: ", "unknown key"),
    ("table name in singular", "# end", "[[route]]", "15:3: route: ", "(did you mean \"routes\"?)"),
    ("a key with a control character", "# top", "log.\"a\\nb\" = true", "1:5: log.\"a\\nb\": ", "unknown key"),
    // Types
    ("string for a number", "# top", "limits.connections = \"5\"", "1:22: limits.connections: ", "expected a whole number, found a string"),
    ("number for a duration", "# top", "limits.stall_timeout = 30", "1:24: limits.stall_timeout: ", "expected a duration such as \"15s\", found an integer"),
    ("string for a boolean", "# top", "log.subject = \"no\"", "1:15: log.subject: ", "expected true or false"),
    ("table for a list", "[[listeners]]", "[listeners]", "2:1: listeners: ", "expected an array, found a table"),
    ("string for a list", "[\"rillgate\"]", "\"rillgate\"", "8:12: issuers.main.audience: ", "expected an array"),
    ("number for a table", "# top", "limits = 5", "1:10: limits: ", "expected a table"),
    ("float for a number", "# top", "limits.streams = 1.5", "1:18: limits.streams: ", "found a float"),
    // Values
    ("no unit", "# top", "limits.idle_timeout = \"60\"", "1:23: limits.idle_timeout: ", "(did you mean \"60s\"?)"),
    ("wrong unit", "# top", "limits.idle_timeout = \"1 minute\"", "1:23: limits.idle_timeout: ", "(did you mean \"1m\"?)"),
    ("decimal size", "# top", "limits.send_buffer = \"64KB\"", "1:22: limits.send_buffer: ", "(did you mean \"64KiB\"?)"),
    ("duration too short", "# end", "delivery.heartbeat = \"0s\"", "15:22: routes[0].delivery.heartbeat: ", "must be between 50ms and 10m"),
    ("duration too long", "# top", "server.drain.notice = \"2h\"", "1:23: server.drain.notice: ", "must be 0s, or between 1ms and 1h"),
    ("size too small", "# top", "limits.header_bytes = \"1KiB\"", "1:23: limits.header_bytes: ", "between 8KiB and 1MiB"),
    ("zero does not mean unlimited", "# top", "limits.connections = 0", "1:22: limits.connections: ", "between 1 and"),
    ("negative number", "# top", "limits.streams = -1", "1:18: limits.streams: ", "between 1 and"),
    ("unknown choice", "# end", "replay.ids = \"kep\"", "15:14: routes[0].replay.ids: ", "(did you mean \"keep\"?)"),
    ("read_through with minted ids", "# end", "replay = { ids = \"fill\", read_through = true }", "15:41: routes[0].replay.read_through: ", "needs ids = \"keep\""),
    ("start without a number", "# end", "replay.start = \"last:\"", "15:16: routes[0].replay.start: ", "last:N"),
    ("empty string", "name = \"events\"", "name = \"\"", "11:8: routes[0].name: ", "must not be empty"),
    ("name with a space", "name = \"events\"", "name = \"my events\"", "11:8: routes[0].name: ", "invalid name"),
    ("address without a host", LISTENER, "address = \":8080\"", "3:11: listeners[0].address: ", "(did you mean \"0.0.0.0:8080\"?)"),
    ("address with a name", LISTENER, "address = \"localhost:8080\"", "3:11: listeners[0].address: ", "(did you mean \"127.0.0.1:8080\"?)"),
    ("bad network", LISTENER, "address = \"127.0.0.1:8080\"\nclient_address = \"forwarded\"\ntrusted_proxies = [\"10.0.0.0/8\", \"10.0.0.0/33\"]", "5:34: listeners[0].trusted_proxies[1]: ", "CIDR"),
    ("proxies without a source", LISTENER, "address = \"127.0.0.1:8080\"\ntrusted_proxies = [\"10.0.0.0/8\"]", "4:19: listeners[0].trusted_proxies: ", "\"x-forwarded-for\", \"forwarded\" or \"proxy-protocol\""),
    ("a source without proxies", LISTENER, "address = \"127.0.0.1:8080\"\nclient_address = \"forwarded\"", "4:18: listeners[0].client_address: ", "needs trusted_proxies"),
    ("a source with no proxies", LISTENER, "address = \"127.0.0.1:8080\"\nclient_address = \"forwarded\"\ntrusted_proxies = []", "5:19: listeners[0].trusted_proxies: ", "must not be empty"),
    ("two sources", LISTENER, "address = \"127.0.0.1:8080\"\nclient_address = \"forwarded\"\nproxy_protocol = true\ntrusted_proxies = [\"10.0.0.0/8\"]", "5:18: listeners[0].proxy_protocol: ", "conflicts with client_address"),
    ("an unknown source", LISTENER, "address = \"127.0.0.1:8080\"\nclient_address = \"x-real-ip\"\ntrusted_proxies = [\"10.0.0.0/8\"]", "4:18: listeners[0].client_address: ", "\"proxy-protocol\""),
    ("not a URL", URL, "\"127.0.0.1:9000\"", "5:9: upstreams.events.urls[0]: ", "URL"),
    ("URL of another scheme", URL, "\"ftp://127.0.0.1\"", "5:9: upstreams.events.urls[0]: ", "http or https"),
    ("URL with a fragment", URL, "\"http://127.0.0.1?a=b#c\"", "5:9: upstreams.events.urls[0]: ", "fragment"),
    ("a wildcard in a path", "/events/{topic}", "/events/*", "12:8: routes[0].path: ", "{*name} as the last segment of a route with [routes.forward]"),
    ("two stars in a path", "/events/{topic}", "/events/**", "12:8: routes[0].path: ", "{name} is any one segment"),
    ("a colon for a capture", "/events/{topic}", "/events/:topic", "12:8: routes[0].path: ", "written {name}"),
    ("a wildcard upstream", "# end", "upstream_path = \"/feed/*\"", "15:17: routes[0].upstream_path: ", "{name} is any one segment"),
    ("an unknown capture in a query", "# end", "upstream_path = \"/feed?t={name}\"", "15:17: routes[0].upstream_path: ", "not captured"),
    ("URL with a password", URL, "\"http://me:hunter2@127.0.0.1\"", "5:9: upstreams.events.urls[0]: ", "password"),
    ("relative path", "/events/{topic}", "events", "12:8: routes[0].path: ", "starts with"),
    ("capture in a segment", "/events/{topic}", "/events-{topic}", "12:8: routes[0].path: ", "capture"),
    ("unknown capture", "# end", "upstream_path = \"/feed/{topics}\"", "15:17: routes[0].upstream_path: ", "not captured"),
    ("host with a port", "# end", "host = \"example.com:80\"", "15:8: routes[0].host: ", "host name"),
    ("host in upper case", "# end", "host = \"Example.com\"", "15:8: routes[0].host: ", "(did you mean \"example.com\"?)"),
    ("origin with a path", "# end", "cors.origins = [\"https://app.example.com/\"]", "15:17: routes[0].cors.origins[0]: ", "(did you mean \"https://app.example.com\"?)"),
    ("header name with a space", "# end", "share.headers = [\"x a\"]", "15:18: routes[0].share.headers[0]: ", "header name"),
    ("header value with a newline", "[issuers.main]", "headers.x-a = \"a\\nb\"\n[issuers.main]", "6:15: upstreams.events.headers.x-a: ", "header value"),
    ("URL with port 0", URL, "\"http://127.0.0.1:0\"", "5:9: upstreams.events.urls[0]: ", "port 0"),
    ("captures of an invalid path are not reported", "/events/{topic}\"", "events\"\nupstream_path = \"/{topic}\"", "12:8: routes[0].path: ", "starts with"),
    // Missing
    ("no address", LISTENER, "name = \"a\"", "2:1: listeners[0].address: ", "missing"),
    ("no upstream", "upstream = \"events\"\n", "", "10:1: routes[0].upstream: ", "missing"),
    ("no audience", "audience = [\"rillgate\"]\n", "", "6:1: issuers.main.audience: ", "missing"),
    ("empty audience", "[\"rillgate\"]", "[]", "8:12: issuers.main.audience: ", "must not be empty"),
    ("no listeners", "[[listeners]]\naddress = \"127.0.0.1:8080\"\n", "", "1:1: listeners: ", "missing"),
    ("no auth", ROUTE_AUTH, "", "10:1: routes[0].auth: ", "auth = \"public\""),
    ("rules without issuers", ROUTE_AUTH, "auth = {}", "14:8: routes[0].auth.issuers: ", "missing"),
    ("unknown auth", ROUTE_AUTH, "auth = \"none\"", "14:8: routes[0].auth: ", "expected \"public\""),
    ("boolean for auth", ROUTE_AUTH, "auth = false", "14:8: routes[0].auth: ", "expected \"public\" or a table"),
    // References
    ("unknown upstream", "upstream = \"events\"", "upstream = \"event\"", "13:12: routes[0].upstream: ", "(did you mean \"events\"?)"),
    ("unknown issuer", ROUTE_AUTH, "auth = { issuers = [\"mian\"] }", "14:21: routes[0].auth.issuers[0]: ", "(did you mean \"main\"?)"),
    ("no required value", ROUTE_AUTH, "auth = { issuers = [\"main\"], require = { role = [] } }", "14:49: routes[0].auth.require.role: ", "must not be empty"),
    ("a float required", ROUTE_AUTH, "auth = { issuers = [\"main\"], require = { role = 1.5 } }", "14:49: routes[0].auth.require.role: ", "expected a string, a whole number, true or false or an array, found a float"),
    ("bind with an unknown name", ROUTE_AUTH, "auth = { issuers = [\"main\"], bind = { topics = \"t\" } }", "14:48: routes[0].auth.bind.topics: ", "(did you mean \"topic\"?)"),
    ("bind with an ambiguous name", ROUTE_AUTH, "auth = { issuers = [\"main\"], bind = { topic = \"t\" } }\nshare.query = [\"topic\"]", "14:47: routes[0].auth.bind.topic: ", "both the path and share.query"),
    ("bad claim path", ROUTE_AUTH, "auth = { issuers = [\"main\"], streams_claim = \"a..b\" }", "14:46: routes[0].auth.streams_claim: ", "claim"),
    ("unknown token source", ROUTE_AUTH, "auth = { issuers = [\"main\"], token_from = [\"body\"] }", "14:44: routes[0].auth.token_from[0]: ", "query:NAME"),
    ("Authorization as a token header", ROUTE_AUTH, "auth = { issuers = [\"main\"], token_from = [\"header:Authorization\"] }", "14:44: routes[0].auth.token_from[0]: ", "without a name"),
    ("Host as a token header", ROUTE_AUTH, "auth = { issuers = [\"main\"], token_from = [\"header:Host\"] }", "14:44: routes[0].auth.token_from[0]: ", "set by the gateway"),
    ("invalid token header", ROUTE_AUTH, "auth = { issuers = [\"main\"], token_from = [\"header:a b\"] }", "14:44: routes[0].auth.token_from[0]: ", "invalid header name"),
    ("token header in two spellings", ROUTE_AUTH, "auth = { issuers = [\"main\"], token_from = [\"header:X-Jwt\", \"header:x-jwt\"] }", "14:60: routes[0].auth.token_from[1]: ", "duplicate of routes[0].auth.token_from[0]"),
    ("bad audience claim", "[\"rillgate\"]", "[\"rillgate\"]\naudience_claim = \"a..b\"", "9:18: issuers.main.audience_claim: ", "empty"),
    ("a token larger than a head", "# top", "limits.token_bytes = \"32KiB\"", "1:22: limits.token_bytes: ", "header_bytes"),
    ("string for an upstream table", "[upstreams.events]\nurls = [\"http://127.0.0.1:9000\"]\n", "[upstreams]\nevents = \"http://127.0.0.1:9000\"\n", "5:10: upstreams.events: ", "expected a table"),
    // Duplicates
    ("two routes with the same name", "# end", "[[routes]]\nname = \"events\"\npath = \"/other\"\nupstream = \"events\"\nauth = \"public\"", "16:8: routes[1].name: ", "same name"),
    ("two routes with the same path", "# end", "[[routes]]\nname = \"b\"\npath = \"/events/{other}\"\nupstream = \"events\"\nauth = \"public\"", "17:8: routes[1].path: ", "neither is more specific"),
    ("two listeners with the same address", "[upstreams.events]", "[[listeners]]\nname = \"b\"\naddress = \"0.0.0.0:8080\"\n[upstreams.events]", "6:11: listeners[1].address: ", "same address"),
    ("two listeners with the same name", "[upstreams.events]", "[[listeners]]\nname = \"127.0.0.1:8080\"\naddress = \"127.0.0.1:8081\"\n[upstreams.events]", "5:8: listeners[1].name: ", "same name"),
    ("admin on a listener", "# top", "admin.address = \"127.0.0.1:8080\"", "1:17: admin.address: ", "must be separate"),
    ("header in two spellings", "[issuers.main]", "headers = { x-a = \"1\", X-A = \"2\" }\n[issuers.main]", "6:30: upstreams.events.headers.X-A: ", "duplicate of upstreams.events.headers.x-a"),
    ("duplicate issuer", ROUTE_AUTH, "auth = { issuers = [\"main\", \"main\"] }", "14:29: routes[0].auth.issuers[1]: ", "duplicate of routes[0].auth.issuers[0]"),
    ("duplicate shared parameter", "# end", "share.query = [\"a\", \"b\", \"a\"]", "15:26: routes[0].share.query[2]: ", "duplicate of routes[0].share.query[0]"),
    ("duplicate shared header", "# end", "share.headers = [\"x-a\", \"X-A\"]", "15:25: routes[0].share.headers[1]: ", "duplicate of routes[0].share.headers[0]"),
    ("a claim in a shared header", ROUTE_AUTH, "auth = { issuers = [\"main\"] }\nshare = { headers = [\"x-a\"], claims = { x-a = \"b\" } }", "15:47: routes[0].share.claims.x-a: ", "duplicate of routes[0].share.headers[0]"),
    ("duplicate origin", "# end", "cors.origins = [\"https://a.example\", \"https://a.example\"]", "15:38: routes[0].cors.origins[1]: ", "duplicate of routes[0].cors.origins[0]"),
    ("duplicate CORS header", "# end", "cors = { origins = [\"*\"], headers = [\"x-a\", \"X-A\"] }", "15:45: routes[0].cors.headers[1]: ", "duplicate of routes[0].cors.headers[0]"),
    ("duplicate capture", "/events/{topic}", "/events/{topic}/{topic}", "12:8: routes[0].path: ", "duplicate capture \"topic\""),
    // Contradictions
    ("always open with captures", "# end", "open = \"always\"", "15:8: routes[0].open: ", "captures"),
    ("always open and shared", "path = \"/events/{topic}\"", "path = \"/events\"\nopen = \"always\"\nshare.query = [\"a\"]", "13:8: routes[0].open: ", "share"),
    ("origin with a wildcard", "# end", "cors.origins = [\"https://*.example.com\"]", "15:17: routes[0].cors.origins[0]: ", "compared literally"),
    ("null origin", "# end", "cors.origins = [\"null\"]", "15:17: routes[0].cors.origins[0]: ", "invalid origin"),
    ("origin of an app with a path", "# end", "cors.origins = [\"capacitor://localhost/\"]", "15:17: routes[0].cors.origins[0]: ", "invalid origin"),
    ("any origin with credentials", "# end", "cors = { origins = [\"*\"], credentials = true }", "15:21: routes[0].cors.origins[0]: ", "credentials"),
    ("any origin and another", "# end", "cors.origins = [\"*\", \"https://a.example\"]", "15:17: routes[0].cors.origins[0]: ", "alone"),
    ("the gateway's own parameter", "# end", "share.query = [\"limit\"]", "15:16: routes[0].share.query[0]: ", "reserved for the gateway"),
    ("sharing the last event id", "# end", "share.query = [\"last_event_id\"]", "15:16: routes[0].share.query[0]: ", "last event id"),
    ("sharing Authorization", "# end", "share.headers = [\"Authorization\"]", "15:18: routes[0].share.headers[0]: ", "tokens"),
    ("sharing the client's address", "# end", "share.headers = [\"X-Forwarded-For\"]", "15:18: routes[0].share.headers[0]: ", "listeners.client_address"),
    ("sharing a hop-by-hop header", "# end", "share.headers = [\"Connection\"]", "15:18: routes[0].share.headers[0]: ", "single connection"),
    ("claims of a public route", "# end", "share.claims = { x-tenant = \"tenant\" }", "15:16: routes[0].share.claims: ", "public"),
    ("sharing the token header", ROUTE_AUTH, "auth = { issuers = [\"main\"], token_from = [\"header:X-Jwt\"] }\nshare.headers = [\"x-jwt\"]", "15:18: routes[0].share.headers[0]: ", "tokens are never sent upstream"),
    ("a claim in the token header", ROUTE_AUTH, "auth = { issuers = [\"main\"], token_from = [\"header:X-Jwt\"] }\nshare.claims = { x-jwt = \"sub\" }", "15:26: routes[0].share.claims.x-jwt: ", "tokens are never sent upstream"),
    ("upstream header that is the token header", "[issuers.main]", "headers = { x-jwt = \"a\" }\n[[routes]]\nname = \"b\"\npath = \"/b\"\nupstream = \"events\"\nauth = { issuers = [\"main\"], token_from = [\"header:X-Jwt\"] }\n[issuers.main]", "10:12: routes[0].upstream: ", "reads tokens from"),
    ("token and id in the same parameter", ROUTE_AUTH, "auth = { issuers = [\"main\"], token_from = [\"query:t\"] }\nreplay.query_id = \"t\"", "15:19: routes[0].replay.query_id: ", "token"),
    ("deadline shorter than spread", "# top", "server.drain = { spread = \"9s\", deadline = \"8s\" }", "1:44: server.drain.deadline: ", "spread"),
    ("backoff.max below initial", "[issuers.main]", "backoff = { initial = \"2s\", max = \"1s\" }\n[issuers.main]", "6:35: upstreams.events.backoff.max: ", "initial"),
    ("TLS settings without an https URL", "[issuers.main]", "tls = {}\n[issuers.main]", "6:7: upstreams.events.tls: ", "https"),
    ("reserved upstream header", "[issuers.main]", "headers.Last-Event-ID = \"5\"\n[issuers.main]", "6:25: upstreams.events.headers.Last-Event-ID: ", "set by the gateway"),
    ("invalid upstream host", "[issuers.main]", "headers = { Host = \"me@a/b\" }\n[issuers.main]", "6:20: upstreams.events.headers.Host: ", "invalid host"),
    ("Content-Length as upstream header", "[issuers.main]", "headers = { content-length = \"5\" }\n[issuers.main]", "6:30: upstreams.events.headers.content-length: ", "request body"),
    ("Transfer-Encoding as upstream header", "[issuers.main]", "headers = { transfer-encoding = \"chunked\" }\n[issuers.main]", "6:33: upstreams.events.headers.transfer-encoding: ", "single connection"),
    ("Accept-Encoding as upstream header", "[issuers.main]", "headers = { accept-encoding = \"br\" }\n[issuers.main]", "6:31: upstreams.events.headers.accept-encoding: ", "does not accept compressed responses"),
    ("resume in a header and a query", "[issuers.main]", "resume = { header = \"x-since\", query = \"since\" }\n[issuers.main]", "6:40: upstreams.events.resume.query: ", "one place"),
    ("empty resume", "[issuers.main]", "resume = {}\n[issuers.main]", "6:10: upstreams.events.resume: ", "must not be empty"),
    ("resume in a configured header", "[issuers.main]", "headers.x-since = \"1\"\nresume.header = \"X-Since\"\n[issuers.main]", "7:17: upstreams.events.resume.header: ", "also set in headers"),
    ("resume in a hop-by-hop header", "[issuers.main]", "resume.header = \"connection\"\n[issuers.main]", "6:17: upstreams.events.resume.header: ", "single connection"),
    // Keys of issuers
    ("http URL of a JWKS", "https://id.example.com/jwks.json", "http://id.example.com/jwks.json", "9:22: issuers.main.keys[0].jwks_url: ", "https"),
    ("key without a source", KEYS, "{}", "9:9: issuers.main.keys[0].jwks_url: ", "missing"),
    ("key with two sources", KEYS, "{ jwks_url = \"https://a.example\", jwks_file = \"jwks.json\" }", "9:55: issuers.main.keys[0].jwks_file: ", "one"),
    ("HMAC for a JWKS", "# end", "[issuers.b]\nissuer = \"b\"\naudience = [\"b\"]\nalgorithms = [\"ES256\", \"HS256\"]\nkeys = [{ jwks_file = \"jwks.json\" }]", "18:24: issuers.b.algorithms[1]: ", "HMAC"),
    ("algorithm none", KEYS, "{ pem_file = \"public.pem\", algorithm = \"none\" }", "9:48: issuers.main.keys[0].algorithm: ", "expected one of"),
    ("a key without an algorithm", KEYS, "{ pem_file = \"public.pem\" }", "9:9: issuers.main.keys[0].algorithm: ", "missing"),
    ("HMAC with a public key", KEYS, "{ pem_file = \"public.pem\", algorithm = \"HS256\" }", "9:48: issuers.main.keys[0].algorithm: ", "HMAC"),
    ("RSA algorithm with an EC key", KEYS, "{ pem_file = \"public.pem\", algorithm = \"RS256\" }", "9:22: issuers.main.keys[0].pem_file: ", "public key"),
    ("RSA algorithm with a secret", KEYS, "{ secret = { file = \"hmac.key\" }, algorithm = \"RS256\" }", "9:55: issuers.main.keys[0].algorithm: ", "HS256"),
    ("a short secret", KEYS, "{ secret = { file = \"short.key\" }, algorithm = \"HS256\" }", "9:20: issuers.main.keys[0].secret: ", "32 bytes"),
    ("secret as plain text", KEYS, "{ secret = \"hunter2-hunter2-hunter2-hunter2-hunter2\", algorithm = \"HS256\" }", "9:20: issuers.main.keys[0].secret: ", "expected a table"),
    ("a secret that is not base64", KEYS, "{ secret = { file = \"server.pem\", encoding = \"base64\" }, algorithm = \"HS256\" }", "9:54: issuers.main.keys[0].secret.encoding: ", "not valid base64"),
    ("too much leeway", KEYS, "{ jwks_url = \"https://id.example.com/jwks.json\" }]\nleeway = \"61s\"\n# [", "10:10: issuers.main.leeway: ", "60s"),
    ("two keys with the same kid", KEYS, "{ pem_file = \"public.pem\", algorithm = \"ES256\", kid = \"a\" }, { pem_file = \"public.pem\", algorithm = \"ES256\", kid = \"a\" }", "9:124: issuers.main.keys[1].kid: ", "same kid"),
    ("refresh with a file", KEYS, "{ jwks_file = \"jwks.json\", refresh = \"5m\" }", "9:46: issuers.main.keys[0].refresh: ", "jwks_url"),
    // Files and variables
    ("missing file", KEYS, "{ jwks_file = \"nothing.json\" }", "9:23: issuers.main.keys[0].jwks_file: ", "cannot read the file"),
    ("not a JWKS", KEYS, "{ jwks_file = \"server.pem\" }", "9:23: issuers.main.keys[0].jwks_file: ", "not a JWKS"),
    ("missing certificate", LISTENER, "address = \"127.0.0.1:8080\"\ntls.certificates = [{ chain = \"no.pem\", key = \"server.key\" }]", "4:31: listeners[0].tls.certificates[0].chain: ", "cannot read the file"),
    ("key of another certificate", LISTENER, "address = \"127.0.0.1:8080\"\ntls.certificates = [{ chain = \"server.pem\", key = \"other.key\" }]", "4:51: listeners[0].tls.certificates[0].key: ", "does not match the certificate"),
    ("key file as certificate", LISTENER, "address = \"127.0.0.1:8080\"\ntls.certificates = [{ chain = \"server.key\", key = \"server.key\" }]", "4:31: listeners[0].tls.certificates[0].chain: ", "no PEM certificate"),
    ("certificate file as key", LISTENER, "address = \"127.0.0.1:8080\"\ntls.certificates = [{ chain = \"server.pem\", key = \"server.pem\" }]", "4:51: listeners[0].tls.certificates[0].key: ", "no PEM private key"),
    ("no certificates", LISTENER, "address = \"127.0.0.1:8080\"\ntls.certificates = []", "4:20: listeners[0].tls.certificates: ", "must not be empty"),
    ("CA file without a certificate", "\"http://127.0.0.1:9000\"]", "\"https://127.0.0.1:9000\"]\ntls.ca_file = \"jwks.json\"", "6:15: upstreams.events.tls.ca_file: ", "no PEM certificate"),
    ("unset variable", "[issuers.main]", "headers.x-a = { env = \"UNSET\" }\n[issuers.main]", "6:23: upstreams.events.headers.x-a.env: ", "not set"),
    ("secret with two sources", "[issuers.main]", "headers.x-a = { env = \"SET\", file = \"token\" }\n[issuers.main]", "6:23: upstreams.events.headers.x-a.env: ", "one source"),
    ("header value with two lines", "[issuers.main]", "headers.x-a = { file = \"two-lines\" }\n[issuers.main]", "6:15: upstreams.events.headers.x-a: ", "header value"),
    // Syntax
    ("broken syntax", "# top", "a = = 1", "1:5: syntax: ", ""),
    ("duplicate key", "name = \"events\"", "name = \"events\"\nname = \"events\"", "12:1: syntax: ", "duplicate"),
];

#[test]
fn each_problem_is_reported_at_its_position() {
    let folder = Folder::new();
    assert_eq!(folder.problems(GOOD), [""; 0]);
    let mut wrong = Vec::new();

    for (name, from, to, prefix, words) in CASES {
        assert!(GOOD.contains(from), "{name}");
        let problems = folder.problems(&GOOD.replacen(from, to, 1));

        if problems.len() != 1 || !problems[0].starts_with(prefix) || !problems[0].contains(words) {
            wrong.push(format!("{name}: {problems:#?}"));
        }
    }

    assert!(CASES.len() >= 100, "only {} cases", CASES.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
