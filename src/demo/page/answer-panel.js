// The panel with the answers. It reads an example without end until a visitor asks something. The answer to that has a URL of
// its own at the gateway. The page keeps its name behind the `#`, so that a reload, or a second tab, reads the same answer.

import { make, plural } from "/elements.js";
import { announce, Panel } from "/panel.js";

const ANSWERS = "/answers";
const NAME = /^#answer=([0-9a-f]{32})$/;

export class AnswerPanel extends Panel {
  begin() {
    this.example = this.path;
    const label = make("label", "", "Prompt");
    const prompt = make("input");
    label.htmlFor = "prompt";
    Object.assign(prompt, { id: "prompt", required: true, maxLength: 200, autocomplete: "off",
      value: "What happens if I reload this page?" });
    this.reload = make("button", "", "Reload the page");
    this.reload.type = "button";
    this.reload.addEventListener("click", () => location.reload());
    this.tab = make("a", "", "Open a second tab");
    Object.assign(this.tab, { target: "_blank", rel: "noopener" });
    const form = make("form", "ask", label, prompt, make("button", "", "Ask"), this.reload, this.tab);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.ask(prompt.value);
    });
    this.part("content").before(form);
    addEventListener("hashchange", () => this.follow());
    this.follow();
  }

  get isAsked() { return this.path === ANSWERS; }

  /** Reads the answer that the page's address names, or else the example. */
  follow() {
    const name = location.hash.match(NAME)?.[1];
    this.leave();
    this.path = name ? ANSWERS : this.example;
    this.stream = name ? `${ANSWERS}?rillgate-stream=${name}` : this.example;
    this.part("path").textContent = this.path;
    for (const control of [this.reload, this.tab]) control.hidden = !name;
    this.tab.href = location.hash || "#";
    this.view.clear();
    this.tell("", name ? "The answer is read at its own URL." : "Nothing asked yet: this is an example.");
    this.connect();
  }

  /** Sends the prompt once. The answer is read at the URL that the response names, like by everybody who comes later. */
  async ask(prompt) {
    this.leave();
    this.state("connecting", "asking");
    try {
      const headers = { "content-type": "application/json" };
      const response = await fetch(ANSWERS, { method: "POST", headers, body: JSON.stringify({ prompt }) });
      response.body?.cancel();
      if (!response.ok) throw new Error(`status ${response.status}`);
      const url = new URL(response.headers.get("content-location"), location);
      history.replaceState(null, "", `#answer=${url.searchParams.get("rillgate-stream")}`);
      this.follow();
      announce(`${this.title}: asked.`);
    } catch (error) {
      this.follow();
      this.tell("gap", `Could not ask: ${error.message}.`);
    }
  }

  receive(event) {
    super.receive(event);
    if (event.type !== "done" || !this.isAsked) return;
    this.source.close();
    this.source = null;
    this.disable("drop", true);
    this.state("complete");
  }

  resumed(told, id) {
    super.resumed(told, id);
    if (!this.isAsked || told.resume !== "replay") return;
    // The words that were there already: a reload shows how many they are.
    this.back = null;
    this.again = this.kept = told.missed ?? 0;
  }

  replayed() {
    if (this.back) return super.replayed();
    this.tell("resumed", `${plural(this.kept, "event")} of this answer came from the gateway's log.`);
  }

  refused(source) {
    if (!this.isAsked) return super.refused(source);
    history.replaceState(null, "", location.pathname);
    this.follow();
    this.tell("gap", "That answer is no longer kept.");
  }
}
