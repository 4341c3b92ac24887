// The demo's page: panels, each with an EventSource, and the number of connections as the gateway and the producer
// report it.
//
// An event is marked as replayed if it arrived because of a resume. The page learns this from the event
// `rillgate.resume`, which the gateway sends before all others on a stream: it says how many of the following events
// this page had missed. After a gap there is no such number, and every event older than the reconnect counts as
// replayed.

import { number, plural, short } from "/elements.js";
import { AnswerView, DeploysView, PriceView, TradesView } from "/views.js";

const AWAY_SECONDS = 5;
const CLIENTS_STEP = 10;
const CLIENTS_MOST = 40; // Per panel: a gateway also limits what one subject may hold.

const byId = (id) => document.getElementById(id);

function announce(text) { byId("announcement").textContent = text; }

/** One stream, shown: connects, drops, resumes, and hands its events to a view. */
class Panel {
  constructor({ title, path, kinds = [], view, wide = false }) {
    Object.assign(this, { title, path, kinds, view });
    this.lastId = "";
    this.again = 0;          // Replayed events still to come.
    this.olderIsAgain = 0;   // After a gap: events from before this moment are replayed.
    this.awayAfter = "";     // The last event before the connection went.
    this.back = null;        // What the last resume has to prove: { after, missed }.
    this.clients = [];
    const root = byId("panel").content.cloneNode(true).firstElementChild;
    this.root = root;
    this.part = (name) => root.querySelector(`.${name}`);
    const heading = root.querySelector("h2");
    heading.textContent = title;
    heading.id = `panel${path.replaceAll("/", "-")}`;
    root.setAttribute("aria-labelledby", heading.id);
    root.classList.toggle("wide", wide);
    this.part("path").textContent = path;
    this.part("content").append(view.root);
    this.part("drop").addEventListener("click", () => this.drop());
    this.part("add").addEventListener("click", () => this.addClients());
    this.part("remove").addEventListener("click", () => this.removeClients());
    for (const name of ["drop", "add", "remove"]) this.part(name).setAttribute("aria-describedby", heading.id);
    byId("panels").append(root);
    this.share(undefined, undefined);
    this.tell("", "Nothing dropped yet.");
    this.connect();
  }

  connect() {
    this.state("connecting");
    const position = this.lastId ? `?last_event_id=${encodeURIComponent(this.lastId)}` : "";
    const source = new EventSource(this.path + position);
    this.source = source;
    source.addEventListener("open", () => this.state("live"));
    source.addEventListener("error", () => {
      this.state("connecting");
      this.awayAfter ||= this.lastId;
      // A refused EventSource never reconnects. The cookie may come from an earlier run, so the page fetches a new one.
      if (source.readyState === EventSource.CLOSED) renew().then(() => source === this.source && this.connect());
    });
    source.addEventListener("rillgate.resume", (event) => this.resumed(JSON.parse(event.data), event.lastEventId));
    for (const kind of ["message", ...this.kinds]) source.addEventListener(kind, (event) => this.receive(event));
  }

  receive(event) {
    this.lastId = event.lastEventId || this.lastId;
    const data = JSON.parse(event.data);
    const again = this.again > 0 || data.at < this.olderIsAgain;
    if (this.again > 0) {
      this.again -= 1;
      if (this.again === 0) this.replayed();
    }
    this.view.show({ kind: event.type, id: this.lastId, again, ...data });
  }

  resumed({ resume, missed = 0, reason }, id) {
    this.lastId = id || this.lastId;
    this.again = missed;
    this.olderIsAgain = 0;
    if (resume === "resumed") {
      this.back = { after: this.awayAfter || this.lastId, missed };
      if (missed === 0) {
        this.tell("", `Resumed after ${short(this.back.after)}: nothing had happened meanwhile.`);
        announce(`${this.title}: resumed, nothing was missed.`);
      }
    } else if (resume === "gap") {
      this.olderIsAgain = Date.now();
      this.tell("gap", `Gap (${reason}): continuity is broken; the events that are still kept follow.`);
      announce(`${this.title}: gap, ${reason}.`);
    } else if (resume === "replay") {
      this.tell("", `Started with ${plural(missed, "event")} from the log, then live.`);
      this.again = 0; // A start is not a return: nothing was missed.
    }
    this.awayAfter = "";
  }

  /** The last missed event is here: the producer's numbers show whether there is a hole. */
  replayed() {
    const { after, missed } = this.back;
    const [first, last] = [number(after) + 1, number(this.lastId)];
    const whole = last - first + 1 === missed;
    const count = plural(missed, "missed event");
    const range = missed === 1 ? "" : `, #${first} to #${last} without a hole`;
    this.tell("resumed", `Resumed after ${short(after)}: ${count} replayed${whole ? range : `, up to #${last}`}.`);
    announce(`${this.title}: resumed, ${count} replayed${whole ? " without a hole" : ""}.`);
  }

  drop() {
    if (!this.source) return;
    this.source.close();
    this.source = null;
    this.awayAfter = this.lastId;
    this.disable("drop", true);
    let left = AWAY_SECONDS;
    const tick = () => {
      if (left === 0) {
        this.disable("drop", false);
        return this.connect();
      }
      this.state("away", `back in ${left} s`);
      left -= 1;
      setTimeout(tick, 1000);
    };
    this.tell("", this.lastId ? `Last event seen: ${short(this.lastId)}. The stream goes on without this client.`
      : "Dropped before the first event.");
    announce(`${this.title}: connection dropped for ${AWAY_SECONDS} seconds.`);
    tick();
  }

  addClients() {
    if (this.clients.length >= CLIENTS_MOST) return;
    for (let i = 0; i < CLIENTS_STEP; i += 1) {
      const client = new EventSource(this.path);
      client.addEventListener("error", () => {
        // Refused for good, for example because a limit of the gateway is reached.
        if (client.readyState !== EventSource.CLOSED) return;
        this.clients = this.clients.filter((other) => other !== client);
        this.clientsChanged();
      });
      this.clients.push(client);
    }
    this.clientsChanged();
  }

  removeClients() {
    for (const client of this.clients.splice(0)) client.close();
    this.clientsChanged();
    this.part("add").focus();
  }

  clientsChanged() {
    this.part("remove").hidden = this.clients.length === 0;
    this.part("remove").textContent = `Remove ${this.clients.length}`;
    this.disable("add", this.clients.length >= CLIENTS_MOST);
    announce(`${this.title}: ${plural(this.clients.length, "additional client")}.`);
  }

  share(upstream, clients) {
    this.part("upstream").textContent = upstream ?? "–";
    this.part("clients").textContent = clients ?? "–";
    this.part("clients-word").textContent = clients === 1 ? "client" : "clients";
    const lines = [];
    const spread = (count, from, to) => {
      const shown = Math.min(count ?? 0, 24);
      for (let i = 0; i < shown; i += 1) {
        const y = shown === 1 ? 18 : 2 + (32 * i) / (shown - 1);
        const middle = (from + to) / 2;
        lines.push(`M${from} 18C${middle} 18 ${middle} ${y} ${to} ${y}`);
      }
    };
    spread(upstream, 60, 2);
    spread(clients, 60, 158);
    this.part("fan").firstElementChild.setAttribute("d", lines.join(""));
  }

  /** Not the attribute `disabled`: that would take the focus away from someone at the keyboard. */
  disable(name, disabled) { this.part(name).setAttribute("aria-disabled", disabled); }

  state(state, text = state) {
    this.root.dataset.state = state;
    this.part("state-text").textContent = text;
  }

  tell(kind, text) {
    this.part("verdict").className = `verdict ${kind}`;
    this.part("verdict").textContent = text;
  }
}

/** Asks for the page again, which sets a fresh cookie, after a pause: a gateway that refuses is not to be hurried. */
let renewal;
function renew() {
  renewal ??= new Promise((done) => setTimeout(done, 2000))
    .then(() => fetch("/", { cache: "no-store" }))
    .catch(() => {})
    .finally(() => { renewal = undefined; });
  return renewal;
}

function follow(panels) {
  const source = new EventSource("/status");
  source.addEventListener("message", (event) => {
    const { producer, gateway } = JSON.parse(event.data);
    const subscribers = gateway?.subscribers ?? {};
    const sum = (counts) => Object.values(counts).reduce((total, count) => total + count, 0);
    for (const panel of panels) panel.share(producer.connections[panel.path], subscribers[panel.path]);
    byId("fact-clients").textContent = gateway?.subscribers ? sum(subscribers) : "–";
    byId("fact-upstream").textContent = sum(producer.connections);
    const own = panels.map((panel) => panel.clients.length + (panel.source ? 1 : 0));
    byId("fact-page").textContent = sum(own);
  });
  source.addEventListener("error", () => {
    if (source.readyState === EventSource.CLOSED) renew().then(() => follow(panels));
  });
}

const PROTOCOLS = { h2: "HTTP/2 over TLS", h3: "HTTP/3", "http/1.1": "HTTP/1.1" };

async function start() {
  const protocol = performance.getEntriesByType("navigation")[0]?.nextHopProtocol ?? "";
  byId("fact-protocol").textContent = PROTOCOLS[protocol] ?? (protocol || "unknown");
  const about = await fetch("/demo.json").then((response) => response.json()).catch(() => ({}));
  byId("curl").textContent = about.curl ?? "not available";
  byId("copy").addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(byId("curl").textContent);
    } catch {
      // No permission to copy: select the text for the keyboard.
      getSelection().selectAllChildren(byId("curl"));
      return announce("Command selected.");
    }
    byId("copy").textContent = "Copied";
    announce("Command copied.");
    setTimeout(() => { byId("copy").textContent = "Copy"; }, 2000);
  });

  const panels = [
    new Panel({ title: "EUR/USD", path: "/prices/EURUSD", view: new PriceView(5) }),
    new Panel({ title: "BTC/USD", path: "/prices/BTCUSD", view: new PriceView(2) }),
    new Panel({ title: "Trades, in bursts", path: "/trades", view: new TradesView() }),
    new Panel({ title: "Deployments", path: "/deploys", view: new DeploysView(),
      kinds: ["started", "built", "canary", "live", "rolled-back"] }),
    new Panel({ title: "An answer, word by word", path: "/tokens", view: new AnswerView(), wide: true,
      kinds: ["question", "token", "done"] }),
  ];
  follow(panels);
  if (protocol === "http/1.1") {
    // A browser opens at most six connections to one host, and the panels and the status use all of them.
    for (const panel of panels) panel.part("add").disabled = true;
    byId("notice").textContent = "This page came over HTTP/1.1, where a browser opens six connections to a host and no more. "
      + "The streams use all of them, so that clients cannot be added here.";
    byId("notice").hidden = false;
  }
}

start();
