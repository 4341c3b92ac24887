//! The tables of `docs/compatibility.md` match the tested producers and clients, and the versions in the lock files.

use crate::clients;
use crate::producers::{self, Framing, Property};
use crate::support::locked::Locked;

const DOCUMENT: &str = include_str!("../../docs/compatibility.md");

#[test]
fn the_producers_table_matches_the_tests() {
    let rows = rows("producer");

    assert_eq!(rows.len(), producers::ALL.len());
    for (row, profile) in rows.iter().zip(producers::ALL) {
        let yes_or_no = |property| if profile.has(property) { "yes" } else { "no" }.to_owned();
        let body = match profile.framing {
            Framing::Chunked => "chunked",
            Framing::Close => "until it closes",
            Framing::Length => "length",
        };
        let lines = if profile.has(Property::CrLf) { "CR LF" } else { "LF" };
        let settings: Vec<_> =
            profile.route.lines().chain(profile.replay.lines()).map(|line| format!("`{line}`")).collect();
        let settings = if settings.is_empty() { "none".into() } else { settings.join(", ") };
        let expected = [
            profile.name.to_owned(),
            versions(profile.packages).unwrap_or_else(|| row[1].clone()),
            yes_or_no(Property::Ids),
            yes_or_no(Property::Resumes),
            lines.to_owned(),
            body.to_owned(),
            settings,
        ];
        assert_eq!(row[..], expected);
    }
}

#[test]
fn the_clients_table_matches_the_tests() {
    let rows = rows("client");

    assert_eq!(rows.len(), clients::ALL.len());
    for (row, client) in rows.iter().zip(clients::ALL) {
        let expected = [
            client.name.to_owned(),
            versions(client.packages).unwrap_or_else(|| row[1].clone()),
            if client.protocol == "h2" { "HTTP/2" } else { "HTTP/1.1" }.to_owned(),
            row[3].clone(),
            if client.listens_by_type { "those listened to" } else { "all" }.to_owned(),
            if client.shows_blocks_without_data { "is a message" } else { "is nothing" }.to_owned(),
        ];
        assert_eq!(row[..], expected);
    }
}

const BROWSER: &str = "tests/browser/package-lock.json";

/// The libraries tested in a browser, with their packages in the lock file. The machine provides the browser.
const IN_A_BROWSER: [(&str, &[Locked]); 6] = [
    ("`EventSource`", &[]),
    ("@microsoft/fetch-event-source", &[Locked { file: BROWSER, name: "@microsoft/fetch-event-source" }]),
    ("a hook in React", &[Locked { file: BROWSER, name: "react" }]),
    ("a composable in Vue", &[Locked { file: BROWSER, name: "vue" }]),
    ("Datastar", &[Locked { file: BROWSER, name: "@starfederation/datastar" }]),
    ("htmx, hx-sse", &[Locked { file: BROWSER, name: "htmx.org" }]),
];

#[test]
fn the_browser_table_matches_versions_and_tests() {
    let rows = rows("in a browser");

    assert_eq!(rows.len(), IN_A_BROWSER.len());
    for (row, (name, packages)) in rows.iter().zip(IN_A_BROWSER) {
        assert_eq!(row[..2], [name.to_owned(), versions(packages).unwrap_or_else(|| row[1].clone())]);
        for test in row[2].split(", ") {
            let path = format!("{}/tests/browser/test/{test}.test.mjs", env!("CARGO_MANIFEST_DIR"));
            assert!(std::path::Path::new(&path).is_file(), "{path}");
        }
    }
}

/// Returns the cells of each row of the table whose first column has this title.
fn rows(title: &str) -> Vec<Vec<String>> {
    let head = format!("| {title} |");
    let table = DOCUMENT.lines().skip_while(|line| !line.starts_with(&head)).skip(2);
    let rows: Vec<Vec<String>> = table
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect())
        .collect();
    assert!(!rows.is_empty(), "no table of {title}s");
    rows
}

/// Returns the versions as the document lists them, or `None` where the machine's own packages are used.
fn versions(packages: &[Locked]) -> Option<String> {
    let versions: Vec<_> = packages.iter().map(Locked::version).collect();
    (!versions.is_empty()).then(|| versions.join(", "))
}
