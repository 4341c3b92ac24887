// Draws the last minutes of a number as a line above zero.

const SPACE = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT] = [100, 24];

// Draws into an svg element. `words` describes the line for those who do not see it.
export function draw(svg, values, words) {
  svg.toggleAttribute("hidden", values.length < 2);
  if (values.length < 2) return;
  const most = Math.max(...values, Number.MIN_VALUE);
  const step = WIDTH / (values.length - 1);
  const points = values.map((value, at) => `${(at * step).toFixed(1)},${(HEIGHT - 1 - (value / most) * (HEIGHT - 2)).toFixed(1)}`);
  if (!svg.firstChild) {
    svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("role", "img");
    svg.append(document.createElementNS(SPACE, "polygon"), document.createElementNS(SPACE, "polyline"));
  }
  svg.setAttribute("aria-label", words);
  svg.querySelector("polyline").setAttribute("points", points.join(" "));
  svg.querySelector("polygon").setAttribute("points", `0,${HEIGHT} ${points.join(" ")} ${WIDTH},${HEIGHT}`);
}
