// @microsoft/fetch-event-source on a page of another origin. This client uses fetch and sends its token in a header.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { HOSTS } from '../tools/identity.mjs';
import { Relay } from '../tools/relay.mjs';
import { becomes, eventually } from '../tools/wait.mjs';
import { inEachBrowser } from '../tools/fixture.mjs';

const PROTECTED = {
  auth: 'auth = { issuers = ["tests"], token_from = ["header"], streams_claim = "streams" }',
};
const DELIVERY = 'delivery = { retry = "100ms" }\nreplay = { verdict = "event", events = 3 }';
const CLAIMS = { streams: ['/stream/*'] };

inEachBrowser((w) => {
  /** A page that reads a stream with a token; what the client told it is in `told()`. */
  async function reading(t, { path, gateway, port = gateway.ports.public, claims = CLAIMS, ttl, more = {} }) {
    const page = await w.page(t, `${w.site.origin}/fetch/index.html`);
    const headers = { authorization: `Bearer ${gateway.token({ claims, ttl })}`, ...more };
    await page.evaluate(([url, headers]) => window.read(url, headers), [`https://${HOSTS.events}:${port}${path}`, headers]);
    const told = () => page.evaluate(() => window.told);
    return {
      told,
      opened: async () => (await told()).opened,
      data: async () => (await told()).events.map(({ data }) => data),
    };
  }

  test('a fetch-based client sends its token in a header after a preflight, and sees the verdict in one', async (t) => {
    const gateway = await w.gateway(t, w.tables('', PROTECTED));
    const client = await reading(t, { path: '/stream/fetch', gateway });
    await becomes(1, client.opened);

    w.producer.emit('/stream/fetch', { lines: ['a', 'b'] });
    w.producer.emit('/stream/fetch', 1, 'price');

    await becomes([{ type: 'message', data: { lines: ['a', 'b'] }, id: '1' }, { type: 'price', data: 1, id: '2' }],
      async () => (await client.told()).events);
    assert.deepEqual((await client.told()).verdicts, ['live']);
  });

  test('a fetch-based client resumes after its connection was cut, and stops at a refusal that it can read', async (t) => {
    const gateway = await w.gateway(t, w.tables('delivery = { retry = "100ms" }', PROTECTED));
    const relay = await Relay.start(gateway.ports.public);
    t.after(() => relay.stop());
    const client = await reading(t, { path: '/stream/fetch-cut', gateway, port: relay.port, ttl: '6s' });
    await becomes(1, client.opened);
    w.producer.emit('/stream/fetch-cut', 1);
    await becomes([1], client.data);

    relay.cut();
    w.producer.emit('/stream/fetch-cut', 2);

    await becomes([1, 2], client.data);
    const { verdicts, empty } = await client.told();
    assert.equal(verdicts.length, 2);
    assert.match(verdicts[1], /^resumed;missed=[01]$/);
    assert.ok(empty > 0, 'it takes the id in force at the start for a message without data');
    // The response ends when the token expires. A fetch-based client can read the reason of the refusal that follows.
    await becomes(401, async () => (await client.told()).status);
    await eventually('its reason', async () => (await client.told()).error.includes('401: '));
    assert.equal(await gateway.metric('subscriptions_ended_total', { reason: 'expired' }), 1);
  });

  test('a fetch-based client whose token covers other streams reads the 403 and stops', async (t) => {
    const gateway = await w.gateway(t, w.tables('', PROTECTED));
    const client = await reading(t, { path: '/stream/fetch-other', gateway, claims: { streams: ['/stream/mine'] } });

    await eventually('its reason', async () => (await client.told()).error.includes('403: '));
    assert.equal(w.producer.opened('/stream/fetch-other'), 0);
  });

  test('a fetch-based client goes on with the next process after a drain, and after a kill, and is told of the gap', async (t) => {
    const gateway = await w.gateway(t, w.tables(DELIVERY, PROTECTED));
    const client = await reading(t, { path: '/stream/fetch-restart', gateway });
    await becomes([{ resume: 'live' }], client.data);
    const expected = [{ resume: 'live' }];
    for (const [number, signal] of [[1, 'SIGTERM'], [2, 'SIGKILL']]) {
      w.producer.emit('/stream/fetch-restart', number);
      expected.push(number);
      await becomes(expected, client.data);

      await gateway.restart(signal);

      await becomes(number + 1, client.opened);
      expected.push({ resume: 'gap', reason: 'unknown' });
      await becomes(expected, client.data);
    }
  });

  test('a fetch-based client with an id that the gateway no longer has is told so in a header and as an event', async (t) => {
    const gateway = await w.gateway(t, w.tables(DELIVERY, PROTECTED));
    const first = await reading(t, { path: '/stream/fetch-gap', gateway });
    await becomes(1, first.opened);
    for (const number of [1, 2, 3, 4]) w.producer.emit('/stream/fetch-gap', number);
    await becomes([{ resume: 'live' }, 1, 2, 3, 4], first.data);

    const second = await reading(t, { path: '/stream/fetch-gap', gateway, more: { 'last-event-id': '0' } });

    await becomes([{ resume: 'gap', reason: 'unknown' }, 2, 3, 4], second.data);
    assert.deepEqual((await second.told()).verdicts, ['gap;reason=unknown']);
  });
});
