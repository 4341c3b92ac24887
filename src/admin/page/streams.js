// Shows the streams that the page asked for, and the slowest clients of all.

import * as format from "./format.js";
import { byId, cell, element, link, put, row } from "./table.js";
import * as view from "./view.js";

const kinds = { live: "good", complete: "good", retrying: "bad", stuck: "bad", incomplete: "bad" };

export const badge = (text, kind) => element("span", `badge ${kind}`, text);

// Returns a stream's key with links to its details and its tap, and why it is not live.
function name({ route, key, link: path, tap, reason, last_error: error, state }) {
  const lines = element("div", "stream");
  const named = element("span", "key", link(key, path, key));
  const ways = element("span", "quiet way", element("span", "route", route), " · ", link("tap", tap));
  lines.append(named, " ", ways);
  if (reason) lines.append(" ", element("span", kinds[state] === "bad" ? "reason bad" : "reason quiet", error ? `${reason}: ${error}` : reason));
  // The error of a stream that is live again needs no line of its own.
  else if (error) ways.append(" · ", link("earlier error", path, error));
  return lines;
}

// Returns who reads the upstream of a stream that gateways share.
const owner = ({ role, owner: node }) => (role === "own" ? "this gateway" : role === "follow" ? node ?? "nobody" : role === "join" ? "unknown yet" : "");

export function showStreams({ streams, streams_matching: matching, streams_total: total, time_ms: now }) {
  byId("no-streams").hidden = streams.length > 0;
  byId("no-streams").textContent = total > 0 ? "No stream matches." : "No stream is open.";
  const counted = matching < total ? `${format.number(matching)} of ${format.number(total)}` : format.number(total);
  byId("shown").textContent = total > 0 ? `${counted}; ${view.order()}` : "";
  const rest = matching - streams.length;
  const more = byId("more");
  more.hidden = rest === 0;
  more.querySelector("span").textContent = `${format.number(rest)} more: narrow the filter${view.canGrow() ? ", or" : ""}`;
  more.querySelector("button").hidden = !view.canGrow();
  // A reload can leave two streams of one name for a while.
  const names = new Map();
  put(byId("streams"), streams.map((stream) => {
    const named = `${stream.route} ${stream.key}`;
    names.set(named, (names.get(named) ?? 0) + 1);
    const slow = stream.behind_events > 0 && stream.behind_events > 2 * (stream.events_per_second ?? 0);
    return row(`${named} ${names.get(named)}`, [
      cell("Stream", name(stream), "name"),
      cell("State", badge(stream.state, kinds[stream.state] ?? ""), "state"),
      cell("Owner", owner(stream), "shared"),
      cell("Subscribers", format.number(stream.subscribers), "number"),
      cell("Events/s", stream.events_per_second === null ? "" : format.count(stream.events_per_second), "number"),
      cell("Behind", format.number(stream.behind_events), slow ? "number alarm" : "number"),
      cell("Since", format.since(stream.since, now), "minor"),
      cell("Silent for", typeof stream.silent_seconds === "number" ? format.duration(stream.silent_seconds) : "", stream.silent_seconds >= 10 ? "" : "minor"),
      cell("Events kept", format.number(stream.events), "number minor"),
      cell("Bytes kept", format.bytes(stream.bytes), "number minor"),
      cell("Newest id", stream.newest_id && element("span", "id", stream.newest_id), "minor"),
    ]);
  }));
}

export function showSlow({ slowest, time_ms: now }) {
  byId("slow-table").hidden = slowest.length === 0;
  byId("no-slow").hidden = slowest.length > 0;
  put(byId("slow"), slowest.map((client, at) => row(client.request_id ?? String(at), [
    cell("Client", [client.client ?? "unknown", client.protocol, client.subject].filter(Boolean).join(" · "), "name"),
    cell("Stream", element("span", "key", client.key), "of"),
    cell("Behind", `${format.number(client.behind_events)} events`, "number alarm"),
    cell("For", client.off_the_log ? "off the log" : format.duration(client.behind_seconds), "number"),
    cell("Subscribed for", format.since(client.since, now)),
  ])));
}
