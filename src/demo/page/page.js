// The demo's page: panels, each with an EventSource, and the number of connections as the gateway and the producer
// report it.

import { AnswerPanel } from "/answer-panel.js";
import { announce, byId, Panel, renew } from "/panel.js";
import { AnswerView, DeploysView, PriceView, TradesView } from "/views.js";

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

  // Gateways that share their streams take no prompts.
  const LastPanel = about.takes_prompts ? AnswerPanel : Panel;
  const panels = [
    new Panel({ title: "EUR/USD", path: "/prices/EURUSD", view: new PriceView(5) }),
    new Panel({ title: "BTC/USD", path: "/prices/BTCUSD", view: new PriceView(2) }),
    new Panel({ title: "Trades, in bursts", path: "/trades", view: new TradesView() }),
    new Panel({ title: "Deployments", path: "/deploys", view: new DeploysView(),
      kinds: ["started", "built", "canary", "live", "rolled-back"] }),
    new LastPanel({ title: "An answer, word by word", path: "/tokens", view: new AnswerView(), wide: true,
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
