// Authorization of a page of another origin by cookie, ticket or header (see also fetch-client), and the errors that the
// browser reports when it is refused.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { CLOSED, Listener, OPEN } from '../tools/browser.mjs';
import { HOSTS } from '../tools/identity.mjs';
import { Relay } from '../tools/relay.mjs';
import { becomes, eventually } from '../tools/wait.mjs';
import { fixture } from '../tools/fixture.mjs';

const w = fixture();
const protectedBy = (places, more = '') => ({
  auth: `auth = { issuers = ["tests"], token_from = [${places}], streams_claim = "streams" ${more} }`,
  credentials: true,
});
const DELIVERY = 'delivery = { retry = "100ms" }\nreplay = { verdict = "event" }';
const CLAIMS = { streams: ['/stream/*'] };
const bearer = (token) => ({ authorization: `Bearer ${token}` });

/** Asks from within a page; what it may read of the answer. */
const ask = (page, url, options) => page.evaluate(async ([url, options]) => {
  try {
    const answer = await fetch(url, options);
    return { status: answer.status, text: await answer.text() };
  } catch (error) {
    return { error: String(error) };
  }
}, [url, options]);

const says = (page, ...parts) => eventually(`the console says ${parts}`,
  () => page.said.some((line) => parts.every((part) => line.includes(part))))
  .catch((error) => { throw new Error(`${error.message}; it says:\n${page.said.join('\n')}`); });

const login = (page, token) => ask(page, '/login', { headers: bearer(token) });

test('the cookie of the application\'s own host lets its page read from the gateway\'s, if credentials are asked for', async (t) => {
  const gateway = await w.gateway(t, w.tables('', protectedBy('"cookie:session"')));
  const page = await w.page(t);
  await login(page, gateway.token({ claims: CLAIMS }));
  const url = `${gateway.origin}/stream/cookie`;

  const withCookie = await Listener.open(page, url, { credentials: true }, 'with');
  const without = await Listener.open(page, url, {}, 'without');

  await becomes(OPEN, () => withCookie.state());
  await becomes(CLOSED, () => without.state());
  w.producer.emit('/stream/cookie', 'for those with a cookie');
  await becomes(['for those with a cookie'], () => withCookie.data());
});

test('a page of a sister host with the visitor\'s cookie is refused, and the console names the origin', async (t) => {
  const gateway = await w.gateway(t, w.tables('', protectedBy('"cookie:session"')));
  const own = await w.page(t);
  await login(own, gateway.token({ claims: CLAIMS }));
  const sister = await w.page(t, `${w.site.sisterOrigin}/`, own.context());

  const listener = await Listener.open(sister, `${gateway.origin}/stream/sister`, { credentials: true });

  await becomes(CLOSED, () => listener.state());
  await says(sister, `from origin '${w.site.sisterOrigin}' has been blocked by CORS policy`,
    "No 'Access-Control-Allow-Origin' header is present");
  assert.equal(w.producer.opened('/stream/sister'), 0, 'refused, not merely hidden from the page');
  // The browser sends the cookie because both hosts belong to one site. It would not send it for a page of another site.
  assert.equal(await gateway.metric('rejections_total', { reason: 'origin' }), 1);
});

test('a page of an origin that is not listed cannot read a public stream, and the console says why', async (t) => {
  const gateway = await w.gateway(t);
  const page = await w.page(t, `${w.site.foreignOrigin}/`);

  const listener = await Listener.open(page, `${gateway.origin}/stream/public`);

  await becomes(CLOSED, () => listener.state());
  await says(page, `Access to resource at '${gateway.origin}/stream/public'`, `from origin '${w.site.foreignOrigin}'`,
    "No 'Access-Control-Allow-Origin' header is present on the requested resource");
});

test('credentials that the route does not expect keep a listed page out, and the console says why', async (t) => {
  const gateway = await w.gateway(t);
  const page = await w.page(t);

  const listener = await Listener.open(page, `${gateway.origin}/stream/public`, { credentials: true });

  await becomes(CLOSED, () => listener.state());
  await says(page, "'Access-Control-Allow-Credentials' header", "must be 'true'");
});

test('a ticket fetched with a token opens an EventSource once, and another one resumes where it ended', async (t) => {
  const gateway = await w.gateway(t, w.tables(DELIVERY, protectedBy('"header"', ', tickets = true')));
  const relay = await Relay.start(gateway.ports.public);
  t.after(() => relay.stop());
  const events = `https://${HOSTS.events}:${relay.port}`;
  const page = await w.page(t);
  const headers = bearer(gateway.token({ claims: CLAIMS }));
  const ticket = async () => {
    const answer = await ask(page, `${events}/stream/ticket?ticket`, { method: 'POST', headers });
    assert.equal(answer.status, 200, answer.error);
    return `${events}${JSON.parse(answer.text).url}`;
  };

  const first = await Listener.open(page, await ticket(), {}, 'first');
  await becomes(OPEN, () => first.state());
  w.producer.emit('/stream/ticket', 1);
  await becomes([1], () => first.data());
  relay.cut();
  await becomes(CLOSED, () => first.state());
  w.producer.emit('/stream/ticket', 2);
  const { id } = (await first.events()).at(-1);
  const second = await Listener.open(page, `${await ticket()}&last_event_id=${id}`, {}, 'second');

  await becomes([2], () => second.data());
});

test('a refusal of a listed page is a problem that its script can read', async (t) => {
  const gateway = await w.gateway(t, w.tables('', protectedBy('"header"')));
  const page = await w.page(t);

  const { status, text } = await ask(page, `${gateway.origin}/stream/refused`, { headers: bearer('no.such.token') });

  assert.deepEqual([status, JSON.parse(text).status], [401, 401]);
});

test('the preflight of a page that is not listed fails, and so does a header that the gateway does not read', async (t) => {
  const gateway = await w.gateway(t, w.tables('', protectedBy('"header"')));
  const headers = bearer(gateway.token({ claims: CLAIMS }));
  const url = `${gateway.origin}/stream/preflight`;
  const foreign = await w.page(t, `${w.site.foreignOrigin}/`);
  const own = await w.page(t);

  const refused = [await ask(foreign, url, { headers }), await ask(own, url, { headers: { ...headers, 'x-client': '1' } })];

  for (const { error } of refused) assert.match(error, /TypeError: Failed to fetch/);
  await says(foreign, `from origin '${w.site.foreignOrigin}' has been blocked by CORS policy`,
    "Response to preflight request doesn't pass access control check");
  await says(own, 'Request header field x-client is not allowed by Access-Control-Allow-Headers in preflight response');
  assert.equal(w.producer.opened('/stream/preflight'), 0);
});
