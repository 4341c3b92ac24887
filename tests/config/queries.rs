//! A query parameter of the upstream request may be set in one place only.

use super::{Folder, GOOD, URL};

#[test]
fn a_query_parameter_may_be_set_in_one_place_only() {
    let folder = Folder::new();
    let with = |url: &str, route: &str| {
        folder.problems(&GOOD.replacen(URL, &format!("{url:?}"), 1).replacen("# end", route, 1))
    };

    for (url, route, problem) in [
        (
            "http://o?a=1",
            "upstream_path = \"/f?b=1&%61=2\"",
            "15:17: routes[0].upstream_path: the query parameter \"a\" is also set by the upstream's urls",
        ),
        (
            "http://o/b?a=1",
            "share.query = [\"b\", \"a\"]",
            "15:1: routes[0].share: the query parameter \"a\" is also set by the upstream's urls",
        ),
        (
            "http://o",
            "upstream_path = \"/f?a={topic}\"\nshare.query = [\"a\"]",
            "16:1: routes[0].share: the query parameter \"a\" is also set by upstream_path",
        ),
    ] {
        assert_eq!(with(url, route), [problem]);
    }
    // Repetition within one place is allowed.
    let repeated = with("http://o?a=1&a=2", "upstream_path = \"/f?b=1&b={topic}\"\nshare.query = [\"c\"]");
    assert_eq!(repeated, [""; 0]);
}
