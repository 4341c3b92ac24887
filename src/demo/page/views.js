// The display of each stream's events. A view has a `root` and shows one event at a time; `again` marks a replayed one.
// Views know nothing of connections.

import { clock, drawn, make, plural, short } from "/elements.js";

/** A price, its course as a line, and its last ticks. */
export class PriceView {
  static POINTS = 160;

  constructor(digits) {
    this.format = new Intl.NumberFormat("en", { minimumFractionDigits: digits, maximumFractionDigits: digits }).format;
    this.points = [];
    this.price = make("b", "", "–");
    this.change = make("span", "change");
    this.area = drawn("path", { class: "area" });
    this.againArea = drawn("path", { class: "again-area" });
    this.line = drawn("path");
    this.again = drawn("path", { class: "again" });
    this.chart = drawn("svg", { class: "spark", viewBox: "0 0 320 84", preserveAspectRatio: "none", role: "img",
      "aria-label": "Course of the price; replayed ticks are drawn in amber" });
    this.chart.append(this.area, this.againArea, this.line, this.again);
    this.rows = new Rows(3);
    this.root = make("div", "", make("div", "quote", this.price, this.change), this.chart, this.rows.root);
  }

  show({ id, bid, ask, at, again }) {
    this.points.push({ value: (bid + ask) / 2, again });
    if (this.points.length > PriceView.POINTS) this.points.shift();
    this.price.textContent = this.format(bid);
    const change = (this.points.at(-1).value / this.points[0].value - 1) * 10000;
    this.change.textContent = `${change < 0 ? "−" : "+"}${Math.abs(change).toFixed(1)} bp`;
    this.change.className = `change ${change < 0 ? "down" : "up"}`;
    this.rows.add(id, again, clock(at), make("span", "", `${this.format(bid)} / ${this.format(ask)}`));
    // A resume delivers twenty ticks at once, which need only one drawing.
    this.frame ??= requestAnimationFrame(() => { this.frame = undefined; this.draw(); });
  }

  draw() {
    const values = this.points.map((point) => point.value);
    const low = Math.min(...values);
    const range = Math.max(...values) - low || 1;
    const span = Math.max(values.length, 30);
    const x = (i) => (320 * (i + span - values.length)) / (span - 1);
    const y = (value) => 78 - (72 * (value - low)) / range;
    const at = (i) => `${x(i).toFixed(1)} ${y(values[i]).toFixed(1)}`;
    const line = values.map((_, i) => at(i)).join("L");
    this.line.setAttribute("d", `M${line}`);
    this.area.setAttribute("d", `M${x(0).toFixed(1)} 84L${line}L320 84Z`);
    let again = "";
    let area = "";
    this.points.forEach((point, i) => {
      if (!point.again || i === 0) return;
      again += `M${at(i - 1)}L${at(i)}`;
      area += `M${x(i - 1).toFixed(1)} 84L${at(i - 1)}L${at(i)}L${x(i).toFixed(1)} 84Z`;
    });
    this.again.setAttribute("d", again);
    this.againArea.setAttribute("d", area);
  }
}

/** The newest events, newest first. */
class Rows {
  constructor(most) {
    this.most = most;
    this.root = make("ol", "rows");
  }

  add(id, again, end, ...content) {
    const row = make("li", again ? "again" : "", make("span", "id", short(id)), ...content);
    row.append(again ? make("span", "end again-word", "replayed") : make("span", "end", end));
    this.root.prepend(row);
    while (this.root.children.length > this.most) this.root.lastElementChild.remove();
    return row;
  }
}

/** Bursts, a row for each, with a cell for each of their trades. */
export class TradesView {
  constructor() {
    this.root = make("ol", "rows");
    this.bursts = new Map();
  }

  show({ id, burst: count, part, venue, size, at, again }) {
    // Each run of the producer counts bursts from one. The id begins with the run.
    const burst = `${id.split("-")[0]} ${count}`;
    if (!this.bursts.has(burst)) {
      const cells = make("span", "burst", ...Array.from({ length: 20 }, () => make("i")));
      const total = make("span", "");
      const row = make("li", "", make("span", "id", clock(at)), make("span", "grow", venue), total, cells);
      this.bursts.set(burst, { row, cells, total, size: 0 });
      this.root.prepend(row);
    }
    const shown = this.bursts.get(burst);
    shown.size += size;
    shown.total.textContent = `${shown.size.toFixed(2)} BTC`;
    if (again) shown.row.classList.add("again");
    shown.cells.children[part - 1].className = again ? "got again" : "got";
    while (this.root.children.length > 8) this.root.lastElementChild.remove();
    for (const old of this.bursts.keys()) if (this.bursts.size > 8) this.bursts.delete(old);
  }
}

/** Deployments: a line for each event. */
export class DeploysView {
  constructor() {
    this.rows = new Rows(4);
    this.rows.root.classList.add("log");
    this.root = this.rows.root;
  }

  show({ kind, id, service, build, text, at, again }) {
    const what = make("span", "grow", `${service} ${build} `, make("span", `kind ${kind}`, kind));
    this.rows.add(id, again, clock(at), what).append(make("span", "two", text));
  }
}

/** An answer as it comes, words that were replayed marked. */
export class AnswerView {
  constructor() {
    this.question = make("p", "question", "…");
    this.answer = make("p", "answer");
    this.caret = make("span", "caret");
    this.previous = make("p", "previous");
    this.root = make("div", "", this.question, this.answer, this.previous);
  }

  clear() {
    this.question.textContent = "…";
    this.answer.replaceChildren();
    this.previous.textContent = "";
  }

  show({ kind, text, tokens, request, again }) {
    if (kind === "question") {
      this.request = request;
      this.question.textContent = text;
      this.answer.replaceChildren(this.caret);
      this.previous.textContent = "";
    } else if (kind === "token") {
      if (this.question.textContent === "…") this.question.textContent = "This client came in the middle of an answer …";
      if (!this.caret.isConnected) this.answer.append(this.caret);
      this.caret.before(again ? make("mark", "", text) : text);
    } else if (kind === "done") {
      this.caret.remove();
      const next = this.request ? `The producer was asked once for this answer: it was its request ${this.request}.`
        : "The next answer follows on the same stream.";
      this.previous.textContent = `${plural(tokens, "token")}. ${next}`;
    }
  }
}
