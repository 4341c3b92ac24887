// A browser opens at most six HTTP/1.1 connections to a host, and each event source occupies one. HTTP/2 has no such limit.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { CONNECTING, Listener } from '../tools/browser.mjs';
import { becomes, eventually } from '../tools/wait.mjs';
import { fixture } from '../tools/fixture.mjs';

const w = fixture();
const MOST = 6;

/** Opens one event source for each page and name given; all are asked at once for what they have received. */
async function listenAll(origin, pages, names) {
  const listeners = [];
  for (const [index, name] of names.entries()) {
    listeners.push(await Listener.open(pages[index % pages.length], `${origin}/stream/${name}`, {}, name));
  }
  return {
    emit: (number) => { for (const name of names) w.producer.emit(`/stream/${name}`, number); },
    received: async () => (await Promise.all(listeners.map((listener) => listener.data()))).map((data) => data.length),
    told: (index) => listeners[index].told(),
    close: (index) => listeners[index].close(),
  };
}

/** The gateway's own count of connections and streams. */
async function counted(gateway) {
  const [h1, h2, streams, subscribers] = await Promise.all([
    gateway.metric('connections', { protocol: 'h1' }),
    gateway.metric('connections', { protocol: 'h2' }),
    gateway.metric('streams', { state: 'live' }),
    gateway.metric('subscribers'),
  ]);
  return { h1, h2, streams, subscribers };
}

/** That the first six receive and the others wait, until one of the six leaves. */
async function stallsAtSix(gateway, all, count) {
  await becomes({ h1: MOST, h2: 0, streams: MOST, subscribers: MOST }, () => counted(gateway));
  all.emit('first');
  const waiting = new Array(count - MOST).fill(0);
  await becomes([...new Array(MOST).fill(1), ...waiting], () => all.received());
  assert.deepEqual(await counted(gateway), { h1: MOST, h2: 0, streams: MOST, subscribers: MOST }, 'still six');
  const { state, errors } = await all.told(MOST);
  assert.deepEqual([state, errors], [CONNECTING, []], 'nothing tells the page that it waits');

  await all.close(0);

  await eventually('the seventh event source', async () => {
    all.emit('later');
    return (await all.received())[MOST] > 0;
  });
  assert.equal((await counted(gateway)).h1, MOST);
}

/** The same event sources both ways: `tabs` pages of one browser profile with `count` event sources in all. */
async function bothWays(t, { tabs, count }) {
  const gateway = await w.gateway(t, w.tables('delivery = { linger = "0s" }'));
  const listen = async (origin, site, kind) => {
    const profile = await w.browser.newContext();
    t.after(() => profile.close());
    const pages = await Promise.all(Array.from({ length: tabs }, () => w.page(t, `${site}/`, profile)));
    const names = Array.from({ length: count }, (_, index) => `${tabs}-${count}-${kind}-${index}`);
    return { profile, ...await listenAll(origin, pages, names) };
  };

  const over2 = await listen(gateway.origin, w.site.origin, 'h2');
  await becomes({ h1: 0, h2: 1, streams: count, subscribers: count }, () => counted(gateway));
  over2.emit('to all');
  await becomes(new Array(count).fill(1), () => over2.received());
  await over2.profile.close();
  await becomes({ h1: 0, h2: 0, streams: 0, subscribers: 0 }, () => counted(gateway));

  await stallsAtSix(gateway, await listen(gateway.plainOrigin, w.site.plainOrigin, 'h1'), count);
}

test('fifty event sources of one page share one HTTP/2 connection, and stall at six over HTTP/1.1', (t) =>
  bothWays(t, { tabs: 1, count: 50 }));

test('the event sources of seven tabs share one HTTP/2 connection, and the seventh stalls over HTTP/1.1', (t) =>
  bothWays(t, { tabs: 7, count: 7 }));
