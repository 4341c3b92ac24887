// Shows the snapshots of /events, one per second. Writes everything as text, never as markup.

import * as format from "./format.js";
import { draw } from "./sparkline.js";
import { showSlow, showStreams } from "./streams.js";
import { byId, cell, element, put, row } from "./table.js";
import * as view from "./view.js";

const SLIDING = 5; // seconds that a rate is taken over
const ROUTES = 10; // that are shown before the operator asks for all
const RETRY = 2000; // milliseconds

// The snapshots of the last seconds, oldest first.
let past = [];
let hasAllRoutes = false;
let isAnnounced = true;

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
const alarm = (count) => (count > 0 ? "number alarm" : "number");

function showTotals({ routes, streams_total: streams, history }) {
  byId("subscribers").textContent = format.number(total(routes, "subscribers"));
  byId("streams-open").textContent = format.number(streams);
  byId("rate-in").textContent = format.perSecond(rate("upstream_events"));
  byId("rate-out").textContent = format.perSecond(rate("events_delivered"));
  byId("rate-bytes").textContent = format.bytesPerSecond(rate("bytes_sent"));
  byId("gaps").textContent = format.number(total(routes, "gaps"));
  for (const svg of document.querySelectorAll("svg.past")) {
    const member = svg.dataset.past;
    const values = history[member];
    const written = member === "bytes_sent" ? format.bytesPerSecond : ["subscribers", "streams"].includes(member) ? format.number : format.perSecond;
    const words = values.length > 1 ? [`max ${written(Math.max(...values))}`, `in ${format.duration(values.length * history.period_seconds)}`] : [];
    draw(svg, values, words.join(" "));
    svg.nextElementSibling.replaceChildren(...words.flatMap((part) => [element("span", "", part), " "]));
  }
}

// Shows the routes whose streams wait first, then those with most subscribers.
function showRoutes(all) {
  const sorted = [...all].sort((one, other) => other.streams_waiting - one.streams_waiting || other.subscribers - one.subscribers);
  const routes = hasAllRoutes || all.length <= ROUTES ? all : sorted.slice(0, ROUTES);
  byId("no-routes").hidden = all.length > 0;
  byId("routes-shown").textContent = all.length > ROUTES ? format.number(all.length) : "";
  byId("more-routes").hidden = all.length <= ROUTES;
  const button = byId("more-routes").querySelector("button");
  button.textContent = hasAllRoutes ? `Show ${ROUTES} routes` : `Show all ${format.number(all.length)} routes`;
  button.setAttribute("aria-expanded", String(hasAllRoutes));
  put(byId("routes"), routes.map((route) => row(route.route, [
    cell("Route", route.route === "-" ? "(no route)" : routeLink(route.route), "name"),
    cell("Subscribers", format.number(route.subscribers), "number"),
    cell("Streams", route.streams_waiting > 0 ? `${format.number(route.streams)} (${format.number(route.streams_waiting)} waiting)` : format.number(route.streams), alarm(route.streams_waiting)),
    cell("In", format.perSecond(rate("upstream_events", route.route)), "number"),
    cell("Out", format.perSecond(rate("events_delivered", route.route)), "number"),
    cell("Sent", format.bytesPerSecond(rate("bytes_sent", route.route)), "number"),
    cell("Gaps", format.number(route.gaps), alarm(route.gaps)),
    cell("Refused", format.number(route.rejections), "number"),
  ])));
  view.offerRoutes(all.map(({ route }) => route).filter((route) => route !== "-"));
}

// Returns a link to the streams of a route, on this page.
function routeLink(route) {
  const a = element("a", "key", route);
  a.href = `?${new URLSearchParams({ route })}#streams-title`;
  a.title = route;
  return a;
}

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
    cell("Owns", format.number(node.owned), "number"),
    cell("Follows", format.number(node.followed), "number"),
    cell("Behind", format.number(node.behind), "number"),
  ])));
}

function show(snapshot) {
  const { readiness } = snapshot;
  byId("version").textContent = snapshot.version;
  byId("uptime").textContent = `up ${format.duration(snapshot.uptime_ms / 1000)}`;
  byId("health").textContent = readiness.status;
  byId("health").className = `badge ${readiness.status === "ready" ? "good" : "bad"}`;
  const reasons = Object.entries(readiness.reasons).map(([name, reason]) => `${name}: ${reason}`);
  byId("notice").hidden = reasons.length === 0;
  byId("notice").textContent = reasons.join(" · ");
  showTotals(snapshot);
  showRoutes(snapshot.routes);
  showSlow(snapshot);
  showStreams(snapshot);
  showCluster(snapshot.cluster);
  // Said once after a change of the view, and not every second.
  if (!isAnnounced) byId("announced").textContent = byId("shown").textContent || byId("no-streams").textContent;
  isAnnounced = true;
}

let source;
function connect() {
  source?.close();
  const opened = new EventSource(`events?${view.query()}`);
  source = opened;
  opened.onmessage = (message) => {
    const snapshot = JSON.parse(message.data);
    // The process has restarted, so its counters have too.
    if (past.length > 0 && snapshot.uptime_ms < past[past.length - 1].uptime_ms) past = [];
    past.push(snapshot);
    while (past.length > 1 && snapshot.uptime_ms - past[1].uptime_ms >= SLIDING * 1000) past.shift();
    show(snapshot);
  };
  opened.onerror = () => {
    const isClosed = opened.readyState === EventSource.CLOSED;
    byId("health").textContent = isClosed ? "not connected" : "reconnecting";
    byId("health").className = "badge bad";
    // A refusal, for example because too many pages are open. The browser does not try again by itself.
    if (isClosed) setTimeout(() => { if (source === opened) connect(); }, RETRY);
  };
}

byId("more-routes").querySelector("button").addEventListener("click", () => {
  hasAllRoutes = !hasAllRoutes;
  showRoutes(past[past.length - 1].routes);
});
view.restore();
view.watch(() => {
  isAnnounced = false;
  connect();
});
connect();
