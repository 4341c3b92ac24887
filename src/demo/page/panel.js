// A panel with one stream: it connects, drops, resumes, and hands its events to a view.
//
// An event is marked as replayed if it arrived because of a resume. The page learns this from the event
// `rillgate.resume`, which the gateway sends before all others on a stream: it says how many of the following events
// this page had missed. After a gap there is no such number, and every event older than the reconnect counts as
// replayed.

import { number, plural, short } from "/elements.js";

const AWAY_SECONDS = 5;
const CLIENTS_STEP = 10;
const CLIENTS_MOST = 40; // Per panel: a gateway also limits what one subject may hold.

export const byId = (id) => document.getElementById(id);

export function announce(text) { byId("announcement").textContent = text; }

/** One stream, shown: connects, drops, resumes, and hands its events to a view. */
export class Panel {
  constructor({ title, path, kinds = [], view, wide = false }) {
    Object.assign(this, { title, path, kinds, view });
    this.stream = path;      // The URL that is read.
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
    this.part("remove").addEventListener("click", () => {
      this.removeClients();
      this.part("add").focus();
    });
    for (const name of ["drop", "add", "remove"]) this.part(name).setAttribute("aria-describedby", heading.id);
    byId("panels").append(root);
    this.share(undefined, undefined);
    this.tell("", "Nothing dropped yet.");
    this.begin();
  }

  begin() { this.connect(); }

  connect() {
    this.state("connecting");
    const url = new URL(this.stream, location);
    if (this.lastId) url.searchParams.set("last_event_id", this.lastId);
    const source = new EventSource(url);
    this.source = source;
    source.addEventListener("open", () => this.state("live"));
    source.addEventListener("error", () => {
      this.state("connecting");
      this.awayAfter ||= this.lastId;
      if (source.readyState === EventSource.CLOSED && source === this.source) this.refused(source);
    });
    source.addEventListener("rillgate.resume", (event) => this.resumed(JSON.parse(event.data), event.lastEventId));
    for (const kind of ["message", ...this.kinds]) source.addEventListener(kind, (event) => this.receive(event));
  }

  /** A refused EventSource never reconnects. The cookie may come from an earlier run, so the page fetches a new one. */
  refused(source) { renew().then(() => source === this.source && this.connect()); }

  /** Stops reading, and forgets the position. */
  leave() {
    this.source?.close();
    this.source = null;
    clearTimeout(this.timer);
    Object.assign(this, { lastId: "", again: 0, olderIsAgain: 0, awayAfter: "", back: null });
    this.disable("drop", false);
    if (this.clients.length > 0) this.removeClients();
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
      this.timer = setTimeout(tick, 1000);
    };
    this.tell("", this.lastId ? `Last event seen: ${short(this.lastId)}. The stream goes on without this client.`
      : "Dropped before the first event.");
    announce(`${this.title}: connection dropped for ${AWAY_SECONDS} seconds.`);
    tick();
  }

  addClients() {
    if (this.clients.length >= CLIENTS_MOST) return;
    for (let i = 0; i < CLIENTS_STEP; i += 1) {
      const client = new EventSource(this.stream);
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
export function renew() {
  renewal ??= new Promise((done) => setTimeout(done, 2000))
    .then(() => fetch("/", { cache: "no-store" }))
    .catch(() => {})
    .finally(() => { renewal = undefined; });
  return renewal;
}
