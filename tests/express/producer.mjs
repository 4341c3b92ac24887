// A typical Server-Sent Events producer with Express, for the gateway's tests.
//
//   GET /feed/:symbol?interval=20          events every `interval` ms (default 100), each
//                                          `event: price`, `id: <ISO timestamp>`, `data: {…}`
//   GET /burst/:symbol?count=10            `count` events at once, then the response ends
//   GET /stats                             {"open":1,"total":3,"lastEventIds":["…"]}
//
// The events of a symbol are one sequence in memory, independent of connections. Their ids are ISO timestamps, unique and
// increasing within a symbol. A known Last-Event-ID is answered with the events after it. The system chooses the port, which
// is printed as `port=12345`. The program ends when its standard input closes, so it ends with a test that is killed.

import express from 'express';

const remembered = 1000;
const feeds = new Map();
const connections = { open: 0, total: 0, lastEventIds: [] };

class Feed {
  constructor(symbol) {
    this.symbol = symbol;
    this.events = [];
    this.listeners = new Set();
    this.lastTime = 0;
    this.number = 0;
    this.timer = undefined;
  }

  produce() {
    // Two events of one millisecond would share an id.
    this.lastTime = Math.max(Date.now(), this.lastTime + 1);
    this.number += 1;
    const event = {
      id: new Date(this.lastTime).toISOString(),
      data: { symbol: this.symbol, number: this.number, price: 100 + (this.number % 10) },
    };
    this.events.push(event);
    if (this.events.length > remembered) this.events.shift();
    for (const listener of this.listeners) listener(event);
  }

  tickEvery(milliseconds) {
    clearInterval(this.timer);
    this.timer = setInterval(() => this.produce(), milliseconds);
  }

  after(id) {
    const at = this.events.findIndex((event) => event.id === id);
    return at === -1 ? [] : this.events.slice(at + 1);
  }
}

function feed(symbol) {
  if (!feeds.has(symbol)) feeds.set(symbol, new Feed(symbol));
  return feeds.get(symbol);
}

function open(request, response) {
  connections.open += 1;
  connections.total += 1;
  connections.lastEventIds.push(request.get('Last-Event-ID') ?? null);
  response.on('close', () => { connections.open -= 1; });
  response.set({ 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-cache', Connection: 'keep-alive' });
  response.flushHeaders();
}

function write(response, event) {
  response.write(`event: price\nid: ${event.id}\ndata: ${JSON.stringify(event.data)}\n\n`);
}

const app = express();

app.get('/feed/:symbol', (request, response) => {
  const source = feed(request.params.symbol);
  if (request.query.interval || !source.timer) source.tickEvery(Number(request.query.interval ?? 100));
  open(request, response);
  for (const event of source.after(request.get('Last-Event-ID'))) write(response, event);
  const listener = (event) => write(response, event);
  source.listeners.add(listener);
  response.on('close', () => source.listeners.delete(listener));
});

app.get('/burst/:symbol', (request, response) => {
  const source = new Feed(request.params.symbol);
  open(request, response);
  source.listeners.add((event) => write(response, event));
  for (let made = 0; made < Number(request.query.count ?? 10); made += 1) source.produce();
  response.end();
});

app.get('/stats', (_request, response) => response.json(connections));

const server = app.listen(0, '127.0.0.1', () => console.log(`port=${server.address().port}`));
process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
