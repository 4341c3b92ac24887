// The browser's EventSource on a page of another origin, over HTTP/2 and TLS.
//
// In Chromium and in Firefox: live events, content codings, event types, a gateway that is killed (with and without read_through), a drain,
// 401, 403, an expired token, a gap.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { CLOSED, CONNECTING, Listener, OPEN } from '../tools/browser.mjs';
import { startExpress } from '../tools/express.mjs';
import { HOSTS } from '../tools/identity.mjs';
import { Relay } from '../tools/relay.mjs';
import { becomes, eventually } from '../tools/wait.mjs';
import { inEachBrowser } from '../tools/fixture.mjs';

const VERDICTS = { types: ['rillgate.resume'] };
const DELIVERY = 'delivery = { retry = "100ms" }\nreplay = { verdict = "event" }';
const COOKIE = 'auth = { issuers = ["tests"], token_from = ["cookie:session"], streams_claim = "streams" }';
const WITH_COOKIE = { auth: COOKIE, credentials: true };

inEachBrowser((w, browser) => {
  /** A page whose browser holds a token as the gateway's cookie; the token is minted when all else is ready. */
  async function pageWithCookie(t, gateway, token) {
    const page = await w.page(t);
    const renew = (value) => page.browserContext().setCookie({ name: 'session', value, domain: HOSTS.events, path: '/',
      secure: true, httpOnly: true, sameSite: 'Strict' });
    await renew(gateway.token(token));
    return { page, renew };
  }

  test('an event source receives data, ids and multi-line JSON as the producer sent them', async (t) => {
    const gateway = await w.gateway(t);
    const listener = await Listener.open(await w.page(t), `${gateway.origin}/stream/plain`);
    await becomes(OPEN, () => listener.state());

    w.producer.emit('/stream/plain', { text: 'grüße, 世界' });
    w.producer.emit('/stream/plain', { lines: ['a', 'b'] });

    await becomes([
      { type: 'message', data: { text: 'grüße, 世界' }, id: '1' },
      { type: 'message', data: { lines: ['a', 'b'] }, id: '2' },
    ], () => listener.events());
    assert.equal(await gateway.metric('subscribers', { protocol: 'h2' }), 1);
  });

  for (const coding of ['gzip', 'zstd']) {
    test(`each event in ${coding} is dispatched as soon as it arrives, whenever the page came`, async (t) => {
      // No heartbeat may push on what a decoder holds back.
      const keys = `compression = ["${coding}"], compression_window = { events = 4 }, heartbeat = "10m"`;
      const delivery = `delivery = { ${keys} }`;
      const gateway = await w.gateway(t, w.tables(delivery));
      const page = await w.page(t);
      const listeners = [];

      for (let number = 1; number <= 12; number += 1) {
        if (number % 3 === 1) {
          const listener = await Listener.open(page, `${gateway.origin}/stream/${coding}`, {}, `from-${number}`);
          await becomes(OPEN, () => listener.state());
          listeners.push({ listener, from: number });
        }
        w.producer.emit(`/stream/${coding}`, { symbol: 'ACME', price: number * 7, volume: 1200 });
        for (const { listener, from } of listeners) {
          const prices = async () => (await listener.events()).map(({ data }) => data.price / 7);
          await becomes(Array.from({ length: number - from + 1 }, (_, index) => from + index), prices);
        }
      }
      assert.ok(await gateway.metric('bytes_saved_total', { coding }) > 0, 'the browser accepts the coding');
    });
  }

  test('typed events reach their listeners, and a page that only has onmessage never sees them', async (t) => {
    const gateway = await w.gateway(t);
    const page = await w.page(t);
    const typed = await Listener.open(page, `${gateway.origin}/stream/typed`, { types: ['price'] }, 'typed');
    const plain = await Listener.open(page, `${gateway.origin}/stream/typed`, {}, 'plain');
    for (const listener of [typed, plain]) await becomes(OPEN, () => listener.state());

    w.producer.emit('/stream/typed', 1, 'price');
    w.producer.emit('/stream/typed', 2);

    await becomes([['price', 1], ['message', 2]], async () => (await typed.events()).map(({ type, data }) => [type, data]));
    await becomes([['message', 2]], async () => (await plain.events()).map(({ type, data }) => [type, data]));
    assert.equal(w.producer.connections('/stream/typed'), 1);
  });

  test('what an Express application sends arrives typed, numbered and without a hole', async (t) => {
    const express = await startExpress(t);
    const tables = w.tables('upstream_path = "/feed/{name}"').replace(w.producer.url, express.url);
    const gateway = await w.gateway(t, tables);
    const listener = await Listener.open(await w.page(t), `${gateway.origin}/stream/ACME`, { types: ['price'] });

    const events = await eventually('ten events', async () => {
      const events = await listener.events();
      return events.length >= 10 && events;
    });

    const numbers = events.map(({ data }) => data.number);
    assert.deepEqual(numbers, numbers.map((_, index) => numbers[0] + index));
    for (const { type, id } of events) assert.deepEqual([type, new Date(id).toISOString()], ['price', id]);
  });

  test('an event source whose connection is cut resumes by itself and misses nothing', async (t) => {
    const gateway = await w.gateway(t, w.tables(DELIVERY));
    const relay = await Relay.start(gateway.ports.public);
    t.after(() => relay.stop());
    const url = `https://${HOSTS.events}:${relay.port}/stream/cut`;
    const listener = await Listener.open(await w.page(t), url);
    await becomes(OPEN, () => listener.state());
    w.producer.emit('/stream/cut', 'before');
    await becomes(['before'], () => listener.data());

    relay.cut();
    w.producer.emit('/stream/cut', 'meanwhile');

    await becomes(['before', 'meanwhile'], () => listener.data());
    w.producer.emit('/stream/cut', 'after');
    await becomes(['before', 'meanwhile', 'after'], () => listener.data());
    assert.equal(w.producer.opened('/stream/cut'), 1, 'the producer noticed nothing');
  });

  test('an event source comes back by itself after the gateway was killed and is told of the gap', async (t) => {
    const gateway = await w.gateway(t, w.tables(DELIVERY));
    const listener = await Listener.open(await w.page(t), `${gateway.origin}/stream/killed`, VERDICTS);
    await becomes(OPEN, () => listener.state());
    w.producer.emit('/stream/killed', 'before');
    await becomes([{ resume: 'live' }, 'before'], () => listener.data());

    await gateway.restart('SIGKILL');

    await becomes(2, () => listener.opened());
    w.producer.emit('/stream/killed', 'after');
    // A log in memory is lost with its process. The page is told to fetch its state again.
    await becomes([{ resume: 'live' }, 'before', { resume: 'gap', reason: 'unknown' }, 'after'], () => listener.data());
  });

  test('with read_through an event source misses nothing though the gateway was killed, if its producer has a history', async (t) => {
    const replay = 'delivery = { retry = "100ms" }\nreplay = { verdict = "event", read_through = true }';
    const gateway = await w.gateway(t, w.tables(replay));
    const listener = await Listener.open(await w.page(t), `${gateway.origin}/stream/history`, VERDICTS);
    await becomes(OPEN, () => listener.state());
    w.producer.emit('/stream/history', 'before');
    await becomes([{ resume: 'live' }, 'before'], () => listener.data());

    await gateway.stop('SIGKILL');
    w.producer.emit('/stream/history', 'meanwhile');
    await gateway.start();

    await becomes([{ resume: 'live' }, 'before', { resume: 'resumed', missed: 1 }, 'meanwhile'], () => listener.data());
    w.producer.emit('/stream/history', 'after');
    await becomes('after', async () => (await listener.data()).at(-1));
    assert.equal((await listener.data()).length, 5);
  });

  test('a drain ends the response between events and the event source goes on with the next process', async (t) => {
    const gateway = await w.gateway(t, w.tables(DELIVERY));
    const listener = await Listener.open(await w.page(t), `${gateway.origin}/stream/drain`, VERDICTS);
    await becomes(OPEN, () => listener.state());
    const sending = setInterval(() => w.producer.emit('/stream/drain', { whole: 'x'.repeat(5000) }), 5);
    t.after(() => clearInterval(sending));
    await eventually('events', async () => (await listener.events()).length > 5);

    assert.equal(await gateway.stop('SIGTERM'), 0);

    await becomes(CONNECTING, () => listener.state());
    const seen = await listener.told();
    assert.ok(seen.errors.every((state) => state === CONNECTING), 'it goes on trying');
    assert.ok(seen.events.slice(1).every(({ data }) => data.whole.length === 5000));
    await gateway.start();
    await becomes(2, () => listener.opened());
    await eventually('events of the next process', async () => (await listener.events()).length > seen.events.length + 5);
  });

  test('an event source that is refused with 401 closes, and the console says why', async (t) => {
    const gateway = await w.gateway(t, w.tables('', WITH_COOKIE));
    const page = await w.page(t);
    const listener = await Listener.open(page, `${gateway.origin}/stream/secret`, { credentials: true });

    await becomes(CLOSED, () => listener.state());
    assert.deepEqual((await listener.told()).errors, [CLOSED]);
    await eventually('a reason', () => page.said.some((line) => line.includes(browser.refused(401))));
    assert.equal(w.producer.opened('/stream/secret'), 0);
  });

  test('an event source whose token covers other streams is refused with 403 and closes', async (t) => {
    const gateway = await w.gateway(t, w.tables('', WITH_COOKIE));
    const { page } = await pageWithCookie(t, gateway, { claims: { streams: ['/stream/mine'] } });
    const mine = await Listener.open(page, `${gateway.origin}/stream/mine`, { credentials: true }, 'mine');
    const other = await Listener.open(page, `${gateway.origin}/stream/other`, { credentials: true }, 'other');

    await becomes(OPEN, () => mine.state());
    await becomes(CLOSED, () => other.state());
    await eventually('a reason', () => page.said.some((line) => line.includes(browser.refused(403))));
    assert.equal(w.producer.opened('/stream/other'), 0);
  });

  test('a response ends with its token, and the event source closes when it comes back with the same one', async (t) => {
    const gateway = await w.gateway(t, w.tables(DELIVERY, WITH_COOKIE));
    const { page } = await pageWithCookie(t, gateway, { ttl: '6s', claims: { streams: ['/stream/*'] } });
    const listener = await Listener.open(page, `${gateway.origin}/stream/expiry`, { credentials: true });
    await becomes(OPEN, () => listener.state());

    await becomes(CLOSED, () => listener.state());

    assert.deepEqual((await listener.told()).errors, [CONNECTING, CLOSED], 'a clean end, then a refusal');
    assert.equal(await gateway.metric('subscriptions_ended_total', { reason: 'expired' }), 1);
  });

  test('an event source whose cookie was renewed in time goes on after its token ended, without a hole', async (t) => {
    const gateway = await w.gateway(t, w.tables(DELIVERY, WITH_COOKIE));
    const claims = { streams: ['/stream/*'] };
    const { page, renew } = await pageWithCookie(t, gateway, { ttl: '6s', claims });
    const listener = await Listener.open(page, `${gateway.origin}/stream/renewed`, { credentials: true });
    await becomes(OPEN, () => listener.state());
    let sent = 0;
    const sending = setInterval(() => w.producer.emit('/stream/renewed', sent += 1), 20);
    t.after(() => clearInterval(sending));

    await renew(gateway.token({ claims }));

    await becomes(2, () => listener.opened());
    await eventually('more events', async () => (await listener.data()).at(-1) > sent - 5 && sent > 20);
    const data = await listener.data();
    assert.deepEqual(data, data.map((_, index) => data[0] + index));
    assert.equal(await gateway.metric('subscriptions_ended_total', { reason: 'expired' }), 1);
  });

  test('an id that the gateway no longer has is told to the page as an event of its own', async (t) => {
    const gateway = await w.gateway(t, w.tables('replay = { verdict = "gap", events = 2 }'));
    const page = await w.page(t);
    const first = await Listener.open(page, `${gateway.origin}/stream/gap`, VERDICTS, 'first');
    await becomes(OPEN, () => first.state());
    for (const number of [1, 2, 3, 4]) w.producer.emit('/stream/gap', number);
    await becomes([1, 2, 3, 4], () => first.data());

    const second = await Listener.open(page, `${gateway.origin}/stream/gap?last_event_id=1`, VERDICTS, 'second');

    // The id is that of the page's new position, just before the oldest retained event.
    await becomes([
      { type: 'rillgate.resume', data: { resume: 'gap', reason: 'evicted' }, id: '2' },
      { type: 'message', data: 3, id: '3' },
      { type: 'message', data: 4, id: '4' },
    ], () => second.events());
  });

  test('an event source that finds the gateway full gives up, and with soft_refusal comes back until there is room', async (t) => {
    for (const soft of [false, true]) {
      const tables = w.tables(`soft_refusal = ${soft}\n${DELIVERY}`, { server: '[limits]\nsubscribers = 1' });
      const gateway = await w.gateway(t, tables);
      const page = await w.page(t);
      const first = await Listener.open(page, `${gateway.origin}/stream/full`, {}, 'first');
      await becomes(OPEN, () => first.state());

      const second = await Listener.open(page, `${gateway.origin}/stream/full`, {}, 'second');
      await eventually('a refusal', async () => (await second.told()).errors.length > 0);

      assert.deepEqual((await second.told()).errors[0], soft ? CONNECTING : CLOSED);
      if (!soft) await eventually('a reason', () => page.said.some((line) => line.includes(browser.refused(503))));
      await first.close();
      if (!soft) continue;
      await eventually('data for it', async () => {
        w.producer.emit('/stream/full', 'room');
        return (await second.data()).includes('room');
      });
    }
  });
});
