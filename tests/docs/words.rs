//! Alerts and reasons of refusals: each stands on its page, and no page has one that there is not.

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
    let source = read(Path::new("src/http/response/rejection.rs"));
    let page = read(Path::new("docs/troubleshooting.md"));
    let (_, function) = source.split_once("pub fn reason(").expect("where reasons are named");
    let function = function.split("\n    }\n").next().unwrap();
    let reasons: Vec<_> = function.split('"').skip(1).step_by(2).collect();
    assert!(reasons.len() > 20, "{reasons:?}");

    for reason in reasons {
        assert!(page.contains(&format!("`{reason}`")), "{reason} is not in docs/troubleshooting.md");
    }
}
