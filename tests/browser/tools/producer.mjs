// A producer on Node's HTTP server, in the test's process. The test sends its events and sees its connections.
//
// Each path is a stream. Events are numbered and retained, and Last-Event-ID is supported. Pages of other origins may read.

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
    response.setHeader('Access-Control-Allow-Origin', '*');
    response.setHeader('Access-Control-Allow-Headers', '*');
    if (request.method === 'OPTIONS') return response.writeHead(204).end();
    const stream = this.stream(request.url);
    response.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-cache' });
    response.flushHeaders();
    stream.opened += 1;
    stream.open.add(response);
    response.on('close', () => stream.open.delete(response));
    const seen = Number(request.headers['last-event-id'] ?? Infinity);
    for (const event of stream.events.filter(({ id }) => id > seen)) response.write(event.text);
    return undefined;
  }

  /** Sends an event to all readers of this path and retains it. Returns its id. */
  emit(path, data, type = undefined) { return this.say(path, JSON.stringify(data, null, 1), type); }

  /** Sends an event with this text as data. */
  say(path, text, type = undefined) {
    const stream = this.stream(path);
    const id = stream.events.length + 1;
    const lines = text.split('\n').map((line) => `data: ${line}\n`).join('');
    const event = { id, text: `${type ? `event: ${type}\n` : ''}id: ${id}\n${lines}\n` };
    stream.events.push(event);
    for (const response of stream.open) response.write(event.text);
    return id;
  }

  /** Ends all responses of this path. */
  end(path) { for (const response of this.stream(path).open) response.end(); }

  /** Returns the number of open connections of this path. */
  connections(path) { return this.stream(path).open.size; }

  /** Returns the number of connections that this path ever had. */
  opened(path) { return this.stream(path).opened; }

  stop() {
    this.server.closeAllConnections();
    this.server.close();
  }
}
