// A React hook and a Vue composable, each in its common form (useEventSource) and in the form that suits the gateway
// (useEventStream). The same tests run on the built pages of both frameworks.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { Listener, OPEN } from '../tools/browser.mjs';
import { HOSTS } from '../tools/identity.mjs';
import { Relay } from '../tools/relay.mjs';
import { becomes, eventually } from '../tools/wait.mjs';
import { fixture } from '../tools/fixture.mjs';

const w = fixture();
const tables = (linger) => w.tables(`
  delivery = { retry = "100ms", linger = "${linger}" }
  replay = { verdict = "event" }
`);

let made = 0;

/** One built page in front of one gateway: what it shows, what it is told to do, what gateway and producer see of it. */
class Scene {
  static async open(t, framework, { hook = 'useEventStream', query = '', relayed = false, plain = false, history = 0, linger = '30s' } = {}) {
    const scene = new Scene();
    scene.gateway = await w.gateway(t, tables(linger));
    made += 1;
    scene.path = `/stream/component-${made}`;
    if (history) await scene.begin(t, history);
    let [site, origin] = [w.site.origin, scene.gateway.origin];
    if (plain) [site, origin] = [w.site.plainOrigin, scene.gateway.plainOrigin];
    if (relayed) {
      scene.relay = await Relay.start(scene.gateway.ports.public);
      t.after(() => scene.relay.stop());
      origin = `https://${HOSTS.events}:${scene.relay.port}`;
    }
    const url = encodeURIComponent(`${origin}${scene.path}`);
    scene.page = await w.page(t, `${site}/${framework}/index.html?hook=${hook}&url=${url}${query}`);
    await becomes('open', () => scene.shown('status'));
    return scene;
  }

  /** Another page's reader, and events before ours is there: its ids begin after those. */
  async begin(t, history) {
    const other = await Listener.open(await w.page(t), `${this.gateway.origin}${this.path}`);
    await becomes(OPEN, () => other.state());
    for (let number = 0; number < history; number += 1) this.emit('before');
    await eventually('the history', async () => (await other.data()).length === history);
  }

  shown(name, index = 0) { return this.page.locator(`.${name}`).nth(index).textContent(); }

  async received(index = 0) { return JSON.parse(await this.shown('received', index)); }

  press(name) { return this.page.getByRole('button', { name }).first().click(); }

  emit(data, type) { return w.producer.emit(this.path, data, type); }

  upstreams() { return w.producer.connections(this.path); }

  subscribers() { return this.gateway.metric('subscribers'); }
}

const page = (name) => readFileSync(join(import.meta.dirname, '../../..', name), 'utf8');

for (const [framework, name, component] of [['react', 'React', 'Prices.jsx'], ['vue', 'Vue', 'Prices.vue']]) {
  test(`${name}: the component in the documentation shows events, goes on after a pause, and fetches anew after a gap`, async (t) => {
    const code = page(`tests/browser/pages/${framework}/${component}`);
    assert.ok(page('docs/browser.md').includes(`\n${code}\`\`\`\n`), `docs/browser.md shows ${component} as it is`);
    const gateway = await w.gateway(t, tables('30s'));
    const path = `/stream/documented-${framework}`;
    const site = `${w.site.origin}/${framework}/index.html?prices&url=${encodeURIComponent(gateway.origin + path)}`;
    const shown = await w.page(t, site);
    const lines = () => shown.locator('li').allTextContents();
    const says = (symbol, price) => w.producer.emit(path, { symbol, price }, 'price');
    await becomes(['stands so'], lines);
    await becomes(1, () => gateway.metric('subscribers'));

    says('EURUSD', 1);
    await becomes(['stands so', 'EURUSD 1'], lines);
    await shown.getByRole('button', { name: 'Pause' }).click();
    await becomes(0, () => gateway.metric('subscribers'));
    says('EURUSD', 2);
    await shown.getByRole('button', { name: 'Go on' }).click();
    await becomes(['stands so', 'EURUSD 2'], lines);

    await gateway.restart('SIGKILL');
    await becomes(['stands so'], lines);
    says('EURUSD', 3);
    await becomes(['stands so', 'EURUSD 3'], lines);
  });

  for (const hook of ['useEventSource', 'useEventStream']) {
    test(`${name}: ${hook}: close ends the subscription at once and releases the upstream after the linger`, async (t) => {
      const scene = await Scene.open(t, framework, { hook, linger: '2s' });
      scene.emit(1);
      await becomes([1], () => scene.received());
      const began = Date.now();

      await scene.press('Close');

      await becomes('closed', () => scene.shown('status'));
      await becomes(0, () => scene.subscribers());
      await becomes(0, async () => scene.upstreams());
      assert.ok(Date.now() - began >= 2000, 'kept for someone who comes back');
    });

    test(`${name}: ${hook}: unmounting leaves no connection`, async (t) => {
      // On HTTP/1.1 a subscription is a connection. On HTTP/2 the browser keeps its connection open for later requests.
      const scene = await Scene.open(t, framework, { hook, plain: true, linger: '100ms' });
      assert.equal(await scene.gateway.metric('connections', { listener: 'plain' }), 1);

      await scene.press('Unmount');

      await becomes(0, () => scene.gateway.metric('connections', { listener: 'plain' }));
      await becomes(0, async () => scene.upstreams());
    });

    test(`${name}: ${hook}: another URL takes the place of the first connection`, async (t) => {
      const scene = await Scene.open(t, framework, { hook });
      await scene.page.getByLabel('URL').fill(`${scene.gateway.origin}${scene.path}-other`);

      await becomes(1, async () => w.producer.connections(`${scene.path}-other`));
      await becomes(1, () => scene.subscribers());
      w.producer.emit(`${scene.path}-other`, 'other');
      await becomes(['other'], () => scene.received());
    });
  }

  test(`${name}: useEventSource: typed events never reach an onmessage handler`, async (t) => {
    const scene = await Scene.open(t, framework, { hook: 'useEventSource' });

    scene.emit('typed', 'price');
    scene.emit('plain');

    await becomes(['plain'], () => scene.received());
  });

  test(`${name}: useEventSource: a restart with the bare URL starts where the route says, and misses what was between`, async (t) => {
    const scene = await Scene.open(t, framework, { hook: 'useEventSource' });
    scene.emit(1);
    await becomes([1], () => scene.received());
    await scene.press('Close');
    await becomes(0, () => scene.subscribers());
    scene.emit(2);

    await scene.press('Restart');

    await becomes('open', () => scene.shown('status'));
    scene.emit(3);
    await becomes([1, 3], () => scene.received());
  });

  test(`${name}: useEventStream: the last event and every event of all types are there, also of a burst`, async (t) => {
    const scene = await Scene.open(t, framework, { query: '&types=price,trade' });
    const types = ['price', undefined, 'trade'];

    for (let number = 1; number <= 60; number += 1) scene.emit(number, types[number % 3]);

    await becomes(Array.from({ length: 60 }, (_, index) => index + 1), () => scene.received());
    assert.deepEqual(JSON.parse(await scene.shown('last')), { type: 'price', data: 60, id: '60' });
  });

  test(`${name}: useEventStream: restart resumes after close`, async (t) => {
    const scene = await Scene.open(t, framework);
    scene.emit(1);
    await becomes([1], () => scene.received());
    await scene.press('Close');
    await becomes(0, () => scene.subscribers());
    scene.emit(2);
    scene.emit(3);

    await scene.press('Restart');

    await becomes([1, 2, 3], () => scene.received());
    assert.equal(await scene.gateway.metric('subscriptions_total', { verdict: 'resumed' }), 1);
    assert.equal(w.producer.opened(scene.path), 1, 'the upstream lingered');
  });

  test(`${name}: useEventStream: the stop flag closes, and taking it back resumes`, async (t) => {
    const scene = await Scene.open(t, framework);
    scene.emit(1);
    await becomes([1], () => scene.received());
    await scene.page.getByLabel('Stop').check();
    await becomes('closed', () => scene.shown('status'));
    await becomes(0, () => scene.subscribers());
    scene.emit(2);

    await scene.page.getByLabel('Stop').uncheck();

    await becomes([1, 2], () => scene.received());
  });

  test(`${name}: useEventStream: components with the same URL share one subscription, until the last has gone`, async (t) => {
    const scene = await Scene.open(t, framework);
    await scene.press('Add a reader');
    await scene.press('Add a reader');
    await becomes('open', () => scene.shown('status', 2));

    scene.emit('to all');

    for (const index of [0, 1, 2]) await becomes(['to all'], () => scene.received(index));
    assert.equal(await scene.gateway.metric('subscriptions_total'), 1);
    await scene.press('Unmount');
    await becomes(0, () => scene.subscribers());
  });

  for (const [when, before] of [['before the page\'s first event', []], ['in the middle', [1, 2]]]) {
    test(`${name}: useEventStream: an error ${when}, answered with close(), loses nothing that the gateway can replay`, async (t) => {
      const scene = await Scene.open(t, framework, { query: '&close-on-error', relayed: true, history: 3 });
      for (const number of before) scene.emit(number);
      await becomes(before, () => scene.received());

      scene.relay.cut();
      await becomes('closed', () => scene.shown('status'));
      await becomes(1, () => scene.subscribers());
      scene.emit('meanwhile');
      await scene.press('Restart');

      await becomes([...before, 'meanwhile'], () => scene.received());
    });
  }

  test(`${name}: useEventStream: cookies go along where they are asked for, and only there`, async (t) => {
    const auth = 'auth = { issuers = ["tests"], token_from = ["cookie:session"], streams_claim = "streams" }';
    const gateway = await w.gateway(t, w.tables('', { auth, credentials: true }));
    const path = `/stream/cookie-${framework}`;
    const page = await w.page(t);
    const token = gateway.token({ claims: { streams: [path] } });
    await page.evaluate((authorization) => fetch('/login', { headers: { authorization } }), `Bearer ${token}`);
    const shows = (status) => becomes(status, () => page.locator('.status').textContent());
    const built = `${w.site.origin}/${framework}/index.html?url=${encodeURIComponent(gateway.origin + path)}`;

    await page.goto(built);
    await shows('refused');
    await page.goto(`${built}&credentials`);
    await shows('open');

    w.producer.emit(path, 'for those with a cookie');
    await becomes('["for those with a cookie"]', () => page.locator('.received').textContent());
  });

  test(`${name}: useEventStream: a gap makes the page fetch how things stand`, async (t) => {
    const scene = await Scene.open(t, framework);
    scene.emit(1);
    await becomes([1], () => scene.received());
    assert.equal(await scene.shown('fetched'), 'null');

    await scene.gateway.restart('SIGKILL');

    await becomes({ stands: 'so' }, async () => JSON.parse(await scene.shown('fetched')));
    scene.emit(2);
    await eventually('events after the gap', async () => (await scene.received()).includes(2));
  });
}
