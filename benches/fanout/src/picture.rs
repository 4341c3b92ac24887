//! The figures as a picture for the README: bars of CPU per delivery, with their ratio to rillgate's.
//!
//! It is read in the light and in the dark, and on a telephone: colours follow the reader's scheme, and nothing is small.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::Outcome;
use crate::table::{CPU, Results, short};

const ROW: f64 = 34.0;
const TOP: f64 = 64.0;
const LEFT: f64 = 166.0;
const WIDTH: f64 = 190.0;

const STYLE: &str = "text { font: 15px system-ui, sans-serif; fill: #1f2328 } .title { font-weight: 600 } \
                     .small { font-size: 12px; fill: #59636e } .ours { fill: #2f7d4f } .other { fill: #9aa4af } \
                     .line { fill: #c9cfd6 } .paper { fill: #ffffff } \
                     @media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .small { fill: #9da7b1 } \
                     .ours { fill: #4fb37a } .other { fill: #6b7682 } .line { fill: #4a535d } .paper { fill: #0d1117 } }";

/// Draws CPU per delivery over TLS, for whoever was measured and did not fail.
pub fn draw(folder: &Path) -> Outcome<()> {
    let (hub, proxies) = (Results::read(folder, "tls"), Results::read(folder, "proxies"));
    let Some(machine) = hub.machine() else { return Ok(()) };
    let figure = |kept: &Results, server: &str| kept.figure(server, 0, CPU);
    // The same median as in the table of goals, the other way round.
    let inverse = |kept: &Results, server: &str| kept.ratio("rillgate", 0, server, CPU).map(f64::recip);
    let bars: Vec<(&str, &str, f64, f64)> = [
        ("a bare write loop", "line", figure(&hub, "ceiling"), inverse(&hub, "ceiling")),
        ("rillgate", "ours", figure(&hub, "rillgate"), Some(1.0)),
        ("nchan, a hub", "other", figure(&hub, "nchan"), inverse(&hub, "nchan")),
        ("nginx, a proxy *", "other", figure(&proxies, "nginx"), inverse(&proxies, "nginx")),
        ("HAProxy, a proxy *", "other", figure(&proxies, "haproxy"), inverse(&proxies, "haproxy")),
        ("Caddy, a proxy *", "other", figure(&proxies, "caddy"), inverse(&proxies, "caddy")),
    ]
    .into_iter()
    .filter_map(|(name, class, figure, ratio)| Some((name, class, figure?, ratio?)))
    .collect();
    let most = bars.iter().fold(0.0_f64, |most, (_, _, figure, _)| most.max(*figure));
    if most == 0.0 {
        return Ok(());
    }
    let has_proxies = bars.iter().any(|(name, _, _, _)| name.ends_with('*'));
    let mut notes = vec!["One core; 10,000 clients, one stream, 10 events of 200 bytes a second.".to_owned()];
    if has_proxies {
        notes.push("* 5,000 clients; what a connection for each costs the producer is left out.".to_owned());
    }
    let rounds = hub.rounds();
    notes.push(format!("{machine}; median{0} of {rounds} round{0}", if rounds == 1 { "" } else { "s" }));
    let foot = ROW.mul_add(bars.len() as f64, TOP) + 14.0;
    let height = 20.0_f64.mul_add(notes.len() as f64, foot) + 4.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"480\" height=\"{height}\" viewBox=\"0 0 480 {height}\" role=\"img\" \
         aria-label=\"CPU microseconds for one delivery over TLS\">\n<style>{STYLE}</style>\n\
         <rect class=\"paper\" width=\"480\" height=\"{height}\" rx=\"6\"/>\n\
         <text class=\"title\" x=\"16\" y=\"30\">CPU for one delivery over TLS, in microseconds</text>\n\
         <text class=\"small\" x=\"16\" y=\"50\">shorter is better; in brackets, how many times rillgate's in the same round</text>\n"
    );
    for (index, (name, class, figure, ratio)) in bars.iter().enumerate() {
        let y = ROW.mul_add(index as f64, TOP);
        let (width, text) = (figure / most * WIDTH, y + 18.0);
        let weight = if *class == "ours" { " class=\"title\"" } else { "" };
        writeln!(svg, "<text{weight} x=\"16\" y=\"{text}\">{name}</text>")?;
        writeln!(svg, "<rect class=\"{class}\" x=\"{LEFT}\" y=\"{y}\" width=\"{width:.1}\" height=\"24\" rx=\"2\"/>")?;
        let beside =
            if *class == "ours" { short(*figure) } else { format!("{} ({} x)", short(*figure), short(*ratio)) };
        writeln!(svg, "<text{weight} x=\"{:.1}\" y=\"{text}\">{beside}</text>", LEFT + width + 8.0)?;
    }
    for (index, note) in notes.iter().enumerate() {
        let y = 20.0_f64.mul_add(index as f64, foot) + 6.0;
        writeln!(svg, "<text class=\"small\" x=\"16\" y=\"{y}\">{note}</text>")?;
    }
    svg.push_str("</svg>\n");
    fs::write(folder.join("fanout.svg"), svg)?;
    Ok(())
}
