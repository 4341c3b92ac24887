//! Alerts and reasons of refusals: each is on its page, and no page has one that does not exist.

use std::collections::BTreeSet;
use std::path::Path;

use super::read;

#[test]
fn every_alert_is_explained_with_its_severity() {
    let rules = read(Path::new("deploy/prometheus/alerts.yml"));
    let page = read(Path::new("docs/metrics.md"));
    let mut alerts = Vec::new();
    for rule in rules.split("- alert: ").skip(1) {
        let name = rule.lines().next().unwrap().trim();
        let severity = rule.split("severity: ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
        let row = format!("| `{name}` | {severity} |");
        assert!(page.contains(&row), "no row `{row}` in docs/metrics.md");
        alerts.push(name);
    }
    assert!(alerts.len() >= 10, "{alerts:?}");
    for name in page.lines().filter_map(|line| line.strip_prefix("| `Rillgate")?.split('`').next()) {
        assert!(alerts.iter().any(|alert| *alert == format!("Rillgate{name}")), "Rillgate{name} is no alert");
    }
}

#[test]
fn every_reason_of_a_refusal_is_explained() {
    let source =
        ["rejection.rs", "rejection/rows.rs"].map(|file| read(&Path::new("src/http/response").join(file))).concat();
    let page = read(Path::new("docs/troubleshooting.md"));
    // A row of the table: a status, then the reason.
    let rows = source.split("Status::").skip(1).chain(source.split("StatusCode::").skip(1));
    let reason = |row: &'_ str| {
        let (_, rest) =
            row.split_once(',').filter(|(status, _)| status.bytes().all(|b| b == b'_' || b.is_ascii_uppercase()))?;
        let reason = rest.trim_start().strip_prefix('"')?.split('"').next()?;
        Some(reason.to_owned())
    };
    let reasons: BTreeSet<_> = rows.filter_map(reason).collect();
    assert!(reasons.len() > 20, "{reasons:?}");

    for reason in reasons {
        assert!(page.contains(&format!("`{reason}`")), "{reason} is not in docs/troubleshooting.md");
    }
}
