// The React hook of Vercel's AI SDK (`useChat`) on a page of another origin: what it shows without the gateway and with it, and
// pages that are reloaded in the middle of an answer.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Chat } from '../tools/chat.mjs';
import { HOSTS, folder } from '../tools/identity.mjs';
import { becomes, eventually } from '../tools/wait.mjs';
import { fixture } from '../tools/fixture.mjs';

const w = fixture();

async function start(t) {
  const chat = await Chat.start();
  t.after(() => chat.stop());
  return chat;
}

const tables = (chat, more = '') => `
  [server]
  drain = { notice = "0s", spread = "0s", deadline = "10s" }
  [upstreams.chat]
  urls = ["${chat.url}"]
  [[routes]]
  name = "chat"
  path = "/api/chat"
  upstream = "chat"
  auth = "public"
  ${w.cors(false, ['user-agent'])}
  post = { key = "each" }
  delivery = { end = "cut" }
  ${more}
`;

/** Opens the page, with this interface for messages. */
async function open(t, api, model) {
  const page = await w.page(t, `${w.site.origin}/chat/index.html?model=${model}&url=${encodeURIComponent(api)}`);
  const shown = () => page.evaluate(() => window.shown);
  return {
    page,
    shown,
    text: async () => (await shown()).messages.at(-1)?.parts.map(({ text }) => text ?? '').join('') ?? '',
    press: (name) => page.getByRole('button', { name }).click(),
    async ended() {
      await eventually('the answer ends', async () => ['ready', 'error'].includes((await shown()).status));
      return shown();
    },
  };
}

const through = (gateway) => `https://${HOSTS.events}:${gateway.ports.public}/api/chat`;

const pieces = (count) => Array.from({ length: count }, (_, number) => `piece ${number} `).join('');

for (const model of ['text', 'tool', 'error', 'busy']) {
  test(`useChat shows the same as without the gateway: ${model}`, async (t) => {
    const chats = [await start(t), await start(t)];
    const gateway = await w.gateway(t, tables(chats[1]));
    const shown = [];
    for (const api of [`${chats[0].url}/api/chat`, through(gateway)]) {
      const { press, ended } = await open(t, api, model);
      await press('Ask');
      shown.push(await ended());
    }

    assert.deepEqual(shown[1], shown[0]);
    assert.equal(shown[0].status, ['text', 'tool'].includes(model) ? 'ready' : 'error');
    assert.ok(shown[0].messages.length === (model === 'busy' ? 1 : 2), JSON.stringify(shown[0]));
    assert.deepEqual(chats.map(({ asked }) => asked), [[model], [model]]);
  });
}

for (const [what, act, state] of [
  ['is stopped', ({ press }) => press('Stop'), 'complete'],
  // The gateway's event is no part of the SDK's protocol, and so the error that the page gets; the text differs.
  ['is broken off', (_, chat) => chat.breakOff(), 'incomplete'],
]) {
  test(`useChat shows the same as without the gateway where an answer ${what}`, async (t) => {
    const chats = [await start(t), await start(t)];
    const gateway = await w.gateway(t, tables(chats[1]));
    const shown = [];
    for (const [index, api] of [`${chats[0].url}/api/chat`, through(gateway)].entries()) {
      const page = await open(t, api, 'held');
      await page.press('Ask');
      chats[index].model.release(3);
      await becomes(pieces(2), page.text);
      await act(page, chats[index]);
      const { messages, status, error } = await page.ended();
      shown.push({ messages, status, failed: error !== null });
    }

    assert.deepEqual(shown[1], shown[0]);
    // The model goes on without the page.
    chats[1].model.release(100);
    await becomes([state], async () => (await gateway.streams()).streams.map((stream) => stream.state));
  });
}

test('a page that is reloaded ten times in the middle of an answer shows all of it, and the model is asked once', async (t) => {
  const chat = await start(t);
  const gateway = await w.gateway(t, tables(chat));
  const { page, press, text, ended } = await open(t, through(gateway), 'held');
  await press('Ask');
  chat.model.release(2);
  await becomes(pieces(1), text);

  for (let reload = 1; reload <= 10; reload += 1) {
    await page.reload();
    await becomes(pieces(reload), text);
    chat.model.release();
    await becomes(pieces(reload + 1), text);
  }
  chat.model.release(100);

  assert.equal((await ended()).status, 'ready');
  assert.equal(await text(), pieces(20));
  await page.reload();
  await becomes(pieces(20), text);
  assert.deepEqual([chat.asked.length, chat.model.asked.length], [1, 1]);
});

test('a page that is reloaded after the gateway was restarted shows what was told, and the break', async (t) => {
  const chat = await start(t);
  const store = `replay = { store = "disk" }\n[store]\npath = "${folder()}/store"`;
  const gateway = await w.gateway(t, tables(chat, store));
  const { page, press, text, ended } = await open(t, through(gateway), 'held');
  await press('Ask');
  chat.model.release(5);
  await becomes(pieces(4), text);

  await gateway.restart();
  assert.equal((await ended()).status, 'error', 'the page sees the cut');
  for (let reload = 0; reload < 3; reload += 1) {
    await page.reload();
    await becomes(pieces(4), text);
    assert.equal((await ended()).status, 'error');
  }

  assert.deepEqual([chat.asked.length, chat.model.asked.length], [1, 1]);
});
