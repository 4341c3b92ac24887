// A gateway with a thousand streams for its status page: busy ones, one whose producer is away, long names, a client that
// reads nothing.

import { get } from 'node:http';
import { connect } from 'node:net';

import { Gateway } from './gateway.mjs';
import { Identity } from './identity.mjs';
import { Producer } from './producer.mjs';
import { eventually } from './wait.mjs';

const LONG = 'a-name-without-a-single-space-that-a-program-has-made-of-many-words'.repeat(3);

/** The path of a stream with a name that fits no screen. */
export const LONG_PATH = `/symbols/${LONG}`;

/** The number of streams besides that of the long name, the one that is away and the slow one. */
export const STREAMS = 997;

export class Crowd {
  static async start() {
    const crowd = new Crowd();
    crowd.sockets = [];
    crowd.producer = await Producer.start();
    const route = (name, path, upstream) => `
      [[routes]]
      name = "${name}"
      path = "${path}/{topic}"
      upstream = "${upstream}"
      auth = "public"`;
    const unused = Array.from({ length: 20 }, (_, number) => route(`unused-${number}-${LONG}`.slice(0, 60), `/unused-${number}`, 'producer'));
    crowd.gateway = await Gateway.start(new Identity(), `
      [limits]
      connections_per_ip = 10000
      streams_per_ip = 10000
      stall_timeout = "10m"
      stream_opens_per_second = { ip = 10000, route = 10000 }
      [upstreams.producer]
      urls = ["${crowd.producer.url}"]
      [upstreams.away]
      urls = ["http://127.0.0.1:9"]
      ${route('symbols', '/symbols', 'producer')}
      ${route('slow', '/slow', 'producer')}
      ${route('orders', '/orders', 'away')}
      ${unused.join('')}`);
    crowd.url = `http://127.0.0.1:${crowd.gateway.ports.admin}/`;
    // Nine readers of the first stream, eight of the second, and so on; one of each stream after the ninth.
    for (let number = 1; number <= STREAMS; number += 1) {
      for (let reader = number; reader <= Math.max(number, 9); reader += 1) crowd.read(symbol(number));
    }
    crowd.read(LONG_PATH);
    crowd.read('/orders/open');
    crowd.readNothing('/slow/reader');
    await eventually('all streams are open', async () => {
      const { matching } = await (await fetch(`${crowd.url}streams?limit=1&state=live`)).json();
      return matching === STREAMS + 2;
    }, 60_000);
    crowd.flow = setInterval(() => {
      for (let number = 1; number <= 20; number += 1) crowd.producer.emit(symbol(number), { price: number });
      if (crowd.producer.stream('/slow/reader').events.length < 40) crowd.producer.say('/slow/reader', 'x'.repeat(100_000));
    }, 200);
    return crowd;
  }

  read(path) {
    get({ host: '127.0.0.1', port: this.gateway.ports.plain, path, agent: false }, (response) => {
      response.on('error', () => {});
      response.resume();
    }).on('error', () => {});
  }

  /** Sends a request and takes no byte of the answer. */
  readNothing(path) {
    const socket = connect(this.gateway.ports.plain, '127.0.0.1', () => socket.write(`GET ${path} HTTP/1.1\r\nhost: events\r\n\r\n`));
    socket.on('error', () => {});
    this.sockets.push(socket);
  }

  async stop() {
    clearInterval(this.flow);
    this.sockets.forEach((socket) => socket.destroy());
    await this.gateway.stop('SIGKILL');
    this.producer.stop();
  }
}

/** Returns the path of the numbered stream. */
export const symbol = (number) => `/symbols/${String(number).padStart(4, '0')}`;
