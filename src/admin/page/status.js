// Shows the snapshots of /events, one per second. Writes everything as text, never as markup.
"use strict";

const byId = (id) => document.getElementById(id);
const whole = new Intl.NumberFormat("en");
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const SLIDING = 5; // seconds that a rate is taken over

function bytes(count) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (count >= 1024 && unit < units.length - 1) {
    count /= 1024;
    unit += 1;
  }
  return `${unit === 0 || count >= 100 ? Math.round(count) : count.toFixed(1)} ${units[unit]}`;
}

function duration(seconds) {
  const days = Math.floor(seconds / 86400);
  const hours = Math.floor(seconds / 3600) % 24;
  const minutes = Math.floor(seconds / 60) % 60;
  if (days > 0) return `${days} d ${hours} h`;
  if (hours > 0) return `${hours} h ${minutes} min`;
  if (minutes > 0) return `${minutes} min`;
  return `${Math.max(0, Math.floor(seconds))} s`;
}

function since(value, now) {
  if (value === null || value === undefined) return "";
  const then = typeof value === "number" ? value * 1000 : Date.parse(value);
  return Number.isNaN(then) ? String(value) : duration((now - then) / 1000);
}

const number = (value) => (typeof value === "number" ? whole.format(value) : "");
const perSecond = (value) => (value === null ? "–" : `${short.format(value)}/s`);
const bytesPerSecond = (value) => (value === null ? "–" : `${bytes(value)}/s`);

// The snapshots of the last seconds, oldest first.
let past = [];

// Returns the rate of one member of a route, or of all routes, since the oldest snapshot kept; null while there is
// none.
function rate(member, route) {
  const [oldest, newest] = [past[0], past[past.length - 1]];
  const seconds = (newest.uptime_ms - oldest.uptime_ms) / 1000;
  if (seconds <= 0) return null;
  const sum = (snapshot) => total(snapshot.routes.filter((each) => route === undefined || each.route === route), member);
  return Math.max(0, sum(newest) - sum(oldest)) / seconds;
}

const total = (routes, member) => routes.reduce((sum, route) => sum + route[member], 0);

function cell(label, text, kind) {
  const td = document.createElement("td");
  td.dataset.label = label;
  td.className = kind || "";
  if (text === "" || text === null || text === undefined) td.classList.add("blank");
  else if (text instanceof Node) td.append(text);
  else td.textContent = text;
  return td;
}

function row(name, cells) {
  const tr = document.createElement("tr");
  tr.dataset.name = name;
  tr.append(...cells);
  return tr;
}

// Replaces the rows of a table. Keeps the elements of unchanged rows and cells: otherwise a link would lose the focus,
// and a click that spans a snapshot, every second.
function put(body, rows) {
  const focused = document.activeElement;
  const known = new Map([...body.rows].map((tr) => [tr.dataset.name, tr]));
  rows.forEach((tr, index) => {
    const old = known.get(tr.dataset.name);
    known.delete(tr.dataset.name);
    if (old) [...tr.cells].forEach((td, at) => old.cells[at].isEqualNode(td) || old.cells[at].replaceWith(td));
    if (body.rows[index] !== (old ?? tr)) body.insertBefore(old ?? tr, body.rows[index] ?? null);
  });
  while (body.rows.length > rows.length) body.deleteRow(-1);
  // A row that has moved was briefly removed from the document.
  if (document.activeElement !== focused && body.contains(focused)) focused.focus({ preventScroll: true });
}

function badge(text, kind) {
  const span = document.createElement("span");
  span.className = `badge ${kind}`;
  span.textContent = text;
  return span;
}

// Returns a stream's key with links to its details and its tap.
function ways(stream) {
  const name = document.createElement("span");
  const way = (text, path) => {
    const a = document.createElement("a");
    a.href = path.slice(1);
    a.textContent = text;
    return a;
  };
  if (stream.link) name.append(way(stream.key, stream.link));
  else name.append(stream.key ?? stream.route);
  if (stream.tap) name.append(" ", way("tap", stream.tap));
  return name;
}

// Returns who reads the upstream of a stream that gateways share.
const owner = ({ role, owner: node }) => (role === "own" ? "this gateway" : role === "follow" ? node ?? "nobody" : role === "join" ? "unknown yet" : "");

function showCluster(cluster) {
  byId("cluster").hidden = !cluster;
  document.querySelectorAll(".shared").forEach((cell) => { cell.hidden = !cluster; });
  if (!cluster) return;
  const { engine, nodes } = cluster;
  byId("cluster-name").textContent = cluster.name;
  byId("engine").textContent = engine.connected ? `engine ${engine.server ?? "connected"}` : "engine away";
  byId("engine").className = `badge ${engine.connected ? "good" : "bad"}`;
  byId("engine-problem").hidden = !engine.problem;
  byId("engine-problem").textContent = engine.problem ?? "";
  put(byId("nodes"), nodes.map((node) => row(node.node, [
    cell("Gateway", node.self ? `${node.node} (this one)` : node.node, "name"),
    cell("Host", node.host),
    cell("Last beat", `${node.seen_seconds.toFixed(1)} s ago`, "number"),
    cell("Owns", number(node.owned), "number"),
    cell("Follows", number(node.followed), "number"),
    cell("Behind", number(node.behind), "number"),
  ])));
}

const alarm = (count) => (count > 0 ? "number alarm" : "number");
const kinds = { live: "good", complete: "good", retrying: "bad", stuck: "bad", incomplete: "bad" };

// Returns the streams that match the filter, in their order: in trouble, then busy, then by name.
function matching(streams) {
  const wanted = byId("filter").value.trim().toLowerCase();
  return streams.filter(({ route, key }) => `${route} ${key}`.toLowerCase().includes(wanted));
}

// Returns the number of shown streams, and the reason why not all are shown.
function counted(shown, { streams, streams_total: all }) {
  const parts = [];
  if (shown < streams.length) parts.push(`${whole.format(shown)} of`);
  if (all > streams.length) parts.push(`the first ${whole.format(streams.length)} of`);
  return `${[...parts, whole.format(all)].join(" ")}; in trouble first, then by subscribers`;
}

function show(snapshot) {
  const { routes, readiness } = snapshot;
  const streams = matching(snapshot.streams);
  byId("version").textContent = snapshot.version;
  byId("uptime").textContent = `up ${duration(snapshot.uptime_ms / 1000)}`;
  byId("health").textContent = readiness.status;
  byId("health").className = `badge ${readiness.status === "ready" ? "good" : "bad"}`;
  const reasons = Object.entries(readiness.reasons).map(([name, reason]) => `${name}: ${reason}`);
  byId("notice").hidden = reasons.length === 0;
  byId("notice").textContent = reasons.join(" · ");

  byId("subscribers").textContent = whole.format(total(routes, "subscribers"));
  byId("streams-open").textContent = whole.format(snapshot.streams_total);
  byId("rate-in").textContent = perSecond(rate("upstream_events"));
  byId("rate-out").textContent = perSecond(rate("events_delivered"));
  byId("rate-bytes").textContent = bytesPerSecond(rate("bytes_sent"));
  byId("gaps").textContent = whole.format(total(routes, "gaps"));

  byId("no-routes").hidden = routes.length > 0;
  put(byId("routes"), routes.map((route) => row(route.route, [
    cell("Route", route.route === "-" ? "(no route)" : route.route, "name"),
    cell("Subscribers", number(route.subscribers), "number"),
    cell("Streams", route.streams_waiting > 0 ? `${number(route.streams)} (${number(route.streams_waiting)} waiting)` : number(route.streams), alarm(route.streams_waiting)),
    cell("In", perSecond(rate("upstream_events", route.route)), "number"),
    cell("Out", perSecond(rate("events_delivered", route.route)), "number"),
    cell("Sent", bytesPerSecond(rate("bytes_sent", route.route)), "number"),
    cell("Gaps", number(route.gaps), alarm(route.gaps)),
    cell("Refused", number(route.rejections), "number"),
  ])));

  byId("no-streams").hidden = streams.length > 0;
  byId("no-streams").textContent = snapshot.streams_total > 0 ? "No stream matches." : "No stream is open.";
  byId("shown").textContent = snapshot.streams_total > 0 ? counted(streams.length, snapshot) : "";
  put(byId("streams"), streams.map((stream) => row(`${stream.route} ${stream.key}`, [
    cell("Stream", ways(stream), "name"),
    cell("Upstream", badge(stream.state ?? "unknown", kinds[stream.state] ?? ""), "state"),
    cell("Owner", owner(stream), "shared"),
    cell("Since", since(stream.since, snapshot.time_ms)),
    cell("Silent for", typeof stream.silent_seconds === "number" ? duration(stream.silent_seconds) : ""),
    cell("Subscribers", number(stream.subscribers), "number"),
    cell("Events kept", number(stream.events), "number"),
    cell("Bytes kept", typeof stream.bytes === "number" ? bytes(stream.bytes) : "", "number"),
    cell("Newest id", stream.newest_id),
    cell("Last error", stream.last_error, "error"),
  ])));
  showCluster(snapshot.cluster);
}

const source = new EventSource("events");
source.onmessage = (message) => {
  const snapshot = JSON.parse(message.data);
  // The process has restarted, so its counters have too.
  if (past.length > 0 && snapshot.uptime_ms < past[past.length - 1].uptime_ms) past = [];
  past.push(snapshot);
  if (past.length > SLIDING + 1) past.shift();
  show(snapshot);
};
byId("filter").addEventListener("input", () => {
  if (past.length > 0) show(past[past.length - 1]);
});
source.onerror = () => {
  byId("health").textContent = source.readyState === EventSource.CLOSED ? "not connected" : "reconnecting";
  byId("health").className = "badge bad";
};
