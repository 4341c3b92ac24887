// A language model that speaks the protocols of OpenAI and Anthropic (see model_protocols.mjs). How it behaves is said by the
// request's `model`:
//
//   text         streams an answer, in pieces of bytes that respect neither characters nor lines
//   tool         streams a call of a tool
//   bad, denied  400, 401
//   busy         429 with Retry-After, always; `busy-once` the first time
//   failing      500
//   error        an event that tells an error, after two pieces of text
//   endless      streams for two seconds
//   held         streams each piece when `release` is called
//   silent       does not answer
//   stalled      goes silent after two pieces
//   broken       breaks off after two pieces
//
// With `"stream": false`, `text` is answered as JSON. `GET /asked` lists the requests, and how they ended.
//
//   node model.mjs HOST PORT

import { createServer } from 'node:http';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';

import { PROTOCOLS } from './model_protocols.mjs';

const ERRORS = {
  bad: [400, 'invalid_request_error', {}],
  denied: [401, 'authentication_error', {}],
  busy: [429, 'rate_limit_error', { 'retry-after': '1' }],
  failing: [500, 'api_error', {}],
};

export class Model {
  asked = [];
  #released = 0;
  #waiting = [];

  static async start(host = '127.0.0.1', port = 0) {
    const model = new Model();
    model.server = createServer((request, response) => model.#answer(request, response)).listen(port, host);
    await once(model.server, 'listening');
    model.url = `http://${host}:${model.server.address().port}`;
    return model;
  }

  /** Lets the answers of `held` go on by so many events. */
  release(count = 1) {
    this.#released += count;
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  stop() {
    this.server.closeAllConnections();
    this.server.close();
  }

  async #answer(request, response) {
    if (request.url === '/asked') return json(response, 200, this.asked);
    const body = JSON.parse(await text(request) || '{}');
    const protocol = PROTOCOLS.find(({ path }) => path === request.url);
    if (!protocol || request.method !== 'POST') return json(response, 404, { error: { message: 'not found' } });
    const before = this.asked.filter(({ path, body: { model } }) => path === protocol.path && model === body.model).length;
    const asked = { path: protocol.path, headers: named(request.headers), body, ended: 'no' };
    this.asked.push(asked);
    response.on('close', () => { asked.ended = response.writableFinished ? 'whole' : 'closed'; });
    await this.#behave(protocol, body, before, response);
  }

  async #behave(protocol, body, before, response) {
    const behaviour = body.model === 'busy-once' ? (before === 0 ? 'busy' : 'text') : body.model;
    if (ERRORS[behaviour]) {
      const [status, type, fields] = ERRORS[behaviour];
      return json(response, status, protocol.error(type, `The request is ${behaviour}: “${type}”.`), fields);
    }
    if (behaviour === 'silent') return undefined;
    if (!body.stream) return json(response, 200, protocol.whole(body));
    response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-cache' });
    response.write(': PROCESSING\n\n');
    if (behaviour === 'text' || behaviour === 'tool') {
      const all = Buffer.from(protocol.events(body).join('') + protocol.end);
      for (let at = 0; at < all.length; at += 1021) response.write(all.subarray(at, at + 1021));
      return response.end();
    }
    const pieces = Array.from({ length: behaviour === 'endless' ? 100 : 20 }, (_, number) => `piece ${number} `);
    const events = protocol.events(body, pieces);
    const isShort = ['error', 'stalled', 'broken'].includes(behaviour);
    const end = isShort ? events.findIndex((event) => event.includes('piece 2 ')) : events.length;
    for (const [number, event] of events.slice(0, end).entries()) {
      if (behaviour === 'held') await this.#until(number);
      response.write(event);
      if (behaviour === 'endless') await sleep(20);
    }
    if (behaviour === 'stalled') return undefined;
    if (behaviour === 'broken') return response.write(' ', () => response.destroy());
    if (behaviour === 'error') response.write(protocol.errorEvent());
    return response.end(protocol.end);
  }

  async #until(number) {
    while (this.#released <= number) await new Promise((resolve) => { this.#waiting.push(resolve); });
  }
}

/** The header fields that the protocols name. */
function named(headers) {
  const names = ['content-type', 'accept', 'authorization', 'x-api-key', 'anthropic-version', 'idempotency-key'];
  return Object.fromEntries(names.filter((name) => name in headers).map((name) => [name, headers[name]]));
}

async function text(request) {
  const pieces = [];
  for await (const piece of request) pieces.push(piece);
  return Buffer.concat(pieces).toString();
}

function json(response, status, content, fields = {}) {
  response.writeHead(status, { 'content-type': 'application/json', ...fields }).end(JSON.stringify(content));
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  await Model.start(process.argv[2], Number(process.argv[3]));
  // It ends with a test that is killed.
  process.stdin.on('end', () => process.exit(0)).resume();
}
