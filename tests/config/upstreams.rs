//! What an upstream and a route that uses it must agree on.

use super::{Folder, GOOD};

fn with(upstream: &str, route: &str) -> String {
    GOOD.replace("[issuers.main]", &format!("{upstream}\n[issuers.main]")).replace("# end", route)
}

#[test]
fn the_last_id_goes_where_nothing_shared_goes() {
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
fn an_upstream_is_asked_by_the_host_and_for_the_type_that_its_headers_say() {
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
