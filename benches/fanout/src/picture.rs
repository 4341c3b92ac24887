//! The figures as a picture for the README.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::Outcome;
use crate::table::Kept;

const BAR: f64 = 22.0;
const WIDTH: f64 = 420.0;
const LEFT: f64 = 200.0;

/// Draws CPU per delivery over TLS, for whoever was measured.
pub fn draw(folder: &Path) -> Outcome<()> {
    let (hub, proxies) = (Kept::read(folder, "tls"), Kept::read(folder, "proxies"));
    let figure = |kept: &Kept, server: &str| kept.figure(server, 0, "cpu_seconds_per_million");
    let bars: Vec<(&str, f64, &str)> = [
        ("a bare write loop", figure(&hub, "ceiling"), "#9aa5b1"),
        ("rillgate", figure(&hub, "rillgate"), "#2f6f4f"),
        ("nginx + nchan", figure(&hub, "nchan"), "#c08a3e"),
        ("nginx, a proxy", figure(&proxies, "nginx"), "#b5654a"),
        ("haproxy, a proxy", figure(&proxies, "haproxy"), "#b5654a"),
        ("caddy, a proxy", figure(&proxies, "caddy"), "#b5654a"),
    ]
    .into_iter()
    .filter_map(|(name, figure, colour)| Some((name, figure?, colour)))
    .collect();
    let most = bars.iter().fold(0.0_f64, |most, (_, figure, _)| most.max(*figure));
    if most == 0.0 {
        return Ok(());
    }
    let height = BAR.mul_add(bars.len() as f64, 62.0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 700 {height}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"700\" height=\"{height}\" fill=\"white\"/>\n\
         <text x=\"10\" y=\"22\" font-weight=\"bold\">CPU microseconds for one delivery over TLS (less is better)</text>\n"
    );
    for (index, (name, figure, colour)) in bars.iter().enumerate() {
        let y = BAR.mul_add(index as f64, 36.0);
        let (width, text) = (figure / most * WIDTH, y + 14.0);
        writeln!(svg, "<text x=\"10\" y=\"{text}\">{name}</text>")?;
        writeln!(svg, "<rect x=\"{LEFT}\" y=\"{y}\" width=\"{width:.1}\" height=\"17\" fill=\"{colour}\"/>")?;
        writeln!(svg, "<text x=\"{:.1}\" y=\"{text}\">{figure:.1}</text>", LEFT + width + 6.0)?;
    }
    let foot = height - 10.0;
    writeln!(
        svg,
        "<text x=\"10\" y=\"{foot}\" fill=\"#555\">One core; 10,000 clients (proxies 5,000), 10 events a second. Method: benches/README.md</text>"
    )?;
    svg.push_str("</svg>\n");
    fs::write(folder.join("fanout.svg"), svg)?;
    Ok(())
}
