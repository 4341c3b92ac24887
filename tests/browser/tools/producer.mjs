// A producer with node's own HTTP server, in the test's process: the test says what it sends and sees who is connected.
//
// Every path is a stream of its own. Events are numbered and remembered; Last-Event-ID is honoured.

import { createServer } from 'node:http';
import { once } from 'node:events';

export class Producer {
  static async start() {
    const producer = new Producer();
    producer.server = createServer((request, response) => producer.answer(request, response)).listen(0, '127.0.0.1');
    await once(producer.server, 'listening');
    producer.url = `http://127.0.0.1:${producer.server.address().port}`;
    return producer;
  }

  streams = new Map();

  stream(path) {
    if (!this.streams.has(path)) this.streams.set(path, { events: [], open: new Set(), opened: 0 });
    return this.streams.get(path);
  }

  answer(request, response) {
    const stream = this.stream(request.url);
    response.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-cache' });
    response.flushHeaders();
    stream.opened += 1;
    stream.open.add(response);
    response.on('close', () => stream.open.delete(response));
    const seen = Number(request.headers['last-event-id'] ?? Infinity);
    for (const event of stream.events.filter(({ id }) => id > seen)) response.write(event.text);
  }

  /** Sends an event to whoever reads this path, and remembers it. Returns its id. */
  emit(path, data, type = undefined) { return this.say(path, JSON.stringify(data, null, 1), type); }

  /** The same with this text as data. */
  say(path, text, type = undefined) {
    const stream = this.stream(path);
    const id = stream.events.length + 1;
    const lines = text.split('\n').map((line) => `data: ${line}\n`).join('');
    const event = { id, text: `${type ? `event: ${type}\n` : ''}id: ${id}\n${lines}\n` };
    stream.events.push(event);
    for (const response of stream.open) response.write(event.text);
    return id;
  }

  /** How many connections read this path now. */
  connections(path) { return this.stream(path).open.size; }

  /** How many ever did. */
  opened(path) { return this.stream(path).opened; }

  stop() {
    this.server.closeAllConnections();
    this.server.close();
  }
}
