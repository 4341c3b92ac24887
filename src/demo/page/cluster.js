// Shows what each gateway owns, twice a second, and kills the owner. Text is always text, never markup.

const panels = document.getElementById("gateways");
const button = document.getElementById("kill");
const notice = document.getElementById("notice");
const template = document.getElementById("gateway");

function tell(text) {
  notice.textContent = text;
  notice.hidden = !text;
}

function panel(index) {
  while (panels.children.length <= index) panels.append(template.content.cloneNode(true));
  return panels.children[index];
}

function span(className, text) {
  const element = document.createElement("span");
  element.className = className;
  element.textContent = text;
  return element;
}

function row(stream) {
  const item = document.createElement("li");
  const role = stream.role === "own" ? `owns, term ${stream.term}` : "follows";
  item.append(span(stream.role === "own" ? "grow kind live" : "grow", stream.key));
  item.append(span("end", `${role}, ${stream.subscribers} client${stream.subscribers === 1 ? "" : "s"}`));
  return item;
}

function show(state) {
  document.getElementById("demo").href = state.demo;
  let owned = 0;
  state.gateways.forEach((gateway, index) => {
    const shown = panel(index);
    const streams = gateway.streams.filter((stream) => stream.role);
    const mine = streams.filter((stream) => stream.role === "own").length;
    owned += mine;
    shown.dataset.state = gateway.runs ? "live" : "away";
    shown.querySelector("h2").textContent = gateway.name;
    shown.querySelector(".state-text").textContent = gateway.runs ? `owns ${mine} of ${streams.length} streams` : "killed; starts again soon";
    streams.sort((a, b) => (b.role === "own") - (a.role === "own") || a.key.localeCompare(b.key));
    shown.querySelector("ol").replaceChildren(...streams.map(row));
  });
  button.disabled = owned === 0;
}

async function refresh() {
  try {
    show(await (await fetch("/cluster.json")).json());
  } catch {
    tell("The demo has ended.");
    button.disabled = true;
  }
}

button.addEventListener("click", async () => {
  const response = await fetch("/kill", { method: "POST" });
  tell(response.ok ? `${(await response.json()).killed} was killed.` : await response.text());
  refresh();
});

refresh();
setInterval(refresh, 500);
