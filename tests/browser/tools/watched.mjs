// A gateway with contents for its status page: live streams, one whose upstream is down, readers, refusals.

import { get } from 'node:http';

import { Gateway } from './gateway.mjs';
import { Identity } from './identity.mjs';
import { Producer } from './producer.mjs';
import { eventually } from './wait.mjs';

export class Watched {
  /** With so many readers of the first stream, half as many of the second, and so many further streams with one each. */
  static async start(readers = 40, more = 0) {
    const watched = new Watched();
    watched.producer = await Producer.start();
    const route = (name, upstream) => `
      [[routes]]
      name = "${name}"
      path = "/${name}/{topic}"
      upstream = "${upstream}"
      auth = "public"`;
    watched.gateway = await Gateway.start(new Identity(), `
      [upstreams.producer]
      urls = ["${watched.producer.url}"]
      [upstreams.away]
      urls = ["http://127.0.0.1:9"]
      ${route('news', 'producer')}
      ${route('prices', 'producer')}
      ${route('orders', 'away')}`);
    watched.url = `http://127.0.0.1:${watched.gateway.ports.admin}/`;
    for (let reader = 0; reader < readers; reader += 1) watched.read('/news/today');
    for (let reader = 0; reader < readers / 2; reader += 1) watched.read('/prices/EURUSD');
    for (let number = 1; number <= more; number += 1) watched.read(`/prices/symbol-${String(number).padStart(2, '0')}`);
    watched.read('/news/today', { 'last-event-id': 'from-long-ago' });
    watched.read('/orders/open');
    watched.read('/nothing/here/at-all');
    watched.flow = setInterval(() => {
      watched.producer.emit('/news/today', { headline: 'Rain expected in the west', at: new Date().toISOString() });
      watched.producer.emit('/prices/EURUSD', { price: 1.08, at: new Date().toISOString() });
    }, 50);
    const open = () => watched.gateway.metric('subscribers');
    await eventually('all read', async () => await open() === readers * 1.5 + 2 + more);
    return watched;
  }

  read(path, headers = {}) {
    get({ host: '127.0.0.1', port: this.gateway.ports.plain, path, headers, agent: false }, (response) => {
      response.on('error', () => {});
      response.resume();
    }).on('error', () => {});
  }

  async stop() {
    clearInterval(this.flow);
    await this.gateway.stop('SIGKILL');
    this.producer.stop();
  }
}
