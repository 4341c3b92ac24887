//! Checks between an upstream and the routes that use it.

use super::{Folder, GOOD};

fn with(upstream: &str, route: &str) -> String {
    GOOD.replace("[issuers.main]", &format!("{upstream}\n[issuers.main]")).replace("# end", route)
}

#[test]
fn a_shared_value_must_not_replace_the_last_event_id() {
    let folder = Folder::new();

    for (upstream, route, key) in [
        ("resume.query = \"since\"", "share.query = [\"page\", \"since\"]", "routes[0].share.query[1]"),
        ("resume.query = \"since\"", "upstream_path = \"/f?since=1\"", "routes[0].upstream_path"),
        ("resume.header = \"x-since\"", "share.headers = [\"X-Since\"]", "routes[0].share.headers[0]"),
    ] {
        let problems = folder.problems(&with(upstream, route));
        assert!(problems.len() == 1 && problems[0].contains(key) && problems[0].contains("resume"), "{problems:#?}");

        assert_eq!(folder.problems(&with(upstream, "share = { query = [\"page\"], headers = [\"x-page\"] }")), [""; 0]);
    }
}

#[test]
fn an_upstream_may_set_host_and_accept_but_a_client_may_not() {
    let folder = Folder::new();
    for headers in ["host = \"api.internal\"", "Host = \"api.internal:8080\", ACCEPT = \"*/*\"", "host = \"[::1]:80\""]
    {
        assert_eq!(folder.problems(&with(&format!("headers = {{ {headers} }}"), "")), [""; 0], "{headers}");
    }
    for shared in ["host", "accept"] {
        let problems = folder.problems(&with("", &format!("share.headers = [\"{shared}\"]")));
        assert!(problems.len() == 1 && problems[0].contains("set by the gateway"), "{problems:#?}");
    }
}

#[test]
fn a_token_is_read_from_a_file_and_has_one_place() {
    let folder = Folder::new();
    folder.write("edge.jwt", b"eyJh.eyJz.c2ln\n");
    folder.write("empty", b"\n");
    folder.write("words", b"not a token");
    let token = |file: &str| format!("token = {{ file = \"{file}\" }}");

    assert_eq!(folder.problems(&with(&token("edge.jwt"), "")), [""; 0]);
    for (upstream, key, problem) in [
        (token("empty"), ".token.file", "contains no token"),
        (token("words"), ".token.file", "cannot have"),
        (token("none"), ".token.file", "cannot read the file"),
        (format!("{}\nheaders = {{ Authorization = \"Bearer x\" }}", token("edge.jwt")), ".token", "headers"),
        (format!("{}\nresume = {{ header = \"authorization\" }}", token("edge.jwt")), ".token", "resume"),
    ] {
        let problems = folder.problems(&with(&upstream, ""));
        assert!(problems.len() == 1 && problems[0].contains(key) && problems[0].contains(problem), "{problems:#?}");
    }
}

#[test]
fn a_claim_is_not_sent_in_place_of_the_upstreams_token() {
    let folder = Folder::new();
    folder.write("edge.jwt", b"eyJh.eyJz.c2ln");
    let config = |upstream: &str, header: &str| {
        let claims = format!("share.claims = {{ {header} = \"tenant\" }}");
        with(upstream, &claims).replace("auth = \"public\"", "auth = { issuers = [\"main\"] }")
    };
    let token = "token = { file = \"edge.jwt\" }";

    let problems = folder.problems(&config(token, "Authorization"));

    assert!(
        problems.len() == 1
            && problems[0].contains("routes[0].share.claims.Authorization")
            && problems[0].contains("token"),
        "{problems:#?}"
    );
    assert_eq!(folder.problems(&config("", "Authorization")), [""; 0]);
    assert_eq!(folder.problems(&config(token, "X-Tenant")), [""; 0]);
}
