// A whole site behind one listener: the notice board of tests/express, in Chromium, with the configuration that is there.

import assert from 'node:assert/strict';
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';

import { launch, open } from '../tools/browser.mjs';
import { Child } from '../tools/child.mjs';
import { startExpress } from '../tools/express.mjs';
import { BINARY } from '../tools/gateway.mjs';
import { HOSTS, Identity, folder } from '../tools/identity.mjs';
import { becomes } from '../tools/wait.mjs';

const FILE = join(import.meta.dirname, '../../express/rillgate.toml');

let identity;
let browser;
before(async () => {
  identity = new Identity();
  browser = await launch(identity);
});
after(() => browser?.close());

/** Starts the gateway with the file, in which only the ports differ. Returns its origin. */
async function startGateway(t, text, app) {
  const home = folder();
  copyFileSync(identity.chain, join(home, 'chain.pem'));
  copyFileSync(identity.key, join(home, 'key.pem'));
  const file = join(home, 'rillgate.toml');
  writeFileSync(file, text.replace('127.0.0.1:8443', '127.0.0.1:0').replace('http://127.0.0.1:3000', app.url));
  const child = new Child(BINARY, ['serve', '--config', file]);
  t.after(() => child.stop('SIGKILL'));
  const [, port] = await child.line(/listening address=127\.0\.0\.1:(\d+) tls=true/);
  return { child, origin: `https://${HOSTS.app}:${port}` };
}

test('ten lines put pages, a session, a JSON API, files, a WebSocket and an event stream behind one listener', async (t) => {
  const text = readFileSync(FILE, 'utf8');
  assert.equal(text.split('\n').length - 1, 10);
  const app = await startExpress(t, 'board.mjs');
  const { child, origin } = await startGateway(t, text, app);
  const stats = async () => (await fetch(`${app.url}/stats`)).json();
  const profile = await browser.newContext();
  t.after(() => profile.close());

  // A page with its style and script, over HTTP/2, and a form that sets a cookie and goes back.
  const ada = await open(profile, `${origin}/`);
  assert.equal(await ada.locator('h1').evaluate((heading) => getComputedStyle(heading).color), 'rgb(0, 90, 80)');
  await ada.getByLabel('Name').fill('Ada');
  await ada.getByRole('button', { name: 'Log in' }).click();
  await ada.getByText(`Hello Ada, over TLS at ${new URL(origin).host}.`).waitFor();
  const [cookie] = await profile.cookies();
  assert.deepEqual([cookie.name, cookie.secure, cookie.httpOnly], ['session', true, true]);

  // A note goes through the API, and comes to both tabs by one event stream of the application.
  const second = await open(profile, `${origin}/`);
  for (const tab of [ada, second]) await tab.locator('[data-following]').waitFor();
  await ada.getByLabel('Note').fill('The kettle is broken.');
  await ada.getByRole('button', { name: 'Add' }).click();
  for (const tab of [ada, second]) await becomes(['Ada: The kettle is broken.'], () => tab.locator('#notes li').allTextContents());
  await second.reload();
  await becomes(['Ada: The kettle is broken.'], () => second.locator('#notes li').allTextContents());

  // What one tab says, both hear, each by its own WebSocket.
  for (const tab of [ada, second]) await becomes('open', () => tab.locator('#chat-state').textContent());
  await second.getByLabel('Message').fill('Who repairs it?');
  await second.getByRole('button', { name: 'Say' }).click();
  for (const tab of [ada, second]) await becomes(['Ada: Who repairs it?'], () => tab.locator('#chat li').allTextContents());

  // A file goes up and comes back.
  const file = { name: 'a plan.bin', mimeType: 'application/octet-stream', buffer: Buffer.alloc(5 << 20, 'plan ') };
  await ada.getByLabel('File').setInputFiles(file);
  await becomes(`${5 << 20} bytes came back, the same`, () => ada.locator('#file-state').textContent());

  const protocols = await ada.evaluate(() => [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]
    .filter(({ name }) => name.startsWith('http')).map(({ nextHopProtocol }) => nextHopProtocol));
  assert.deepEqual(new Set(protocols), new Set(['h2']));
  const { streams, sockets } = await stats();
  assert.equal(streams, 1, 'all tabs share one event stream of the application');
  assert.ok(sockets >= 3, 'each page has a WebSocket of its own');
  const said = [...ada.said, ...second.said].filter((line) => !line.includes('401'));
  assert.deepEqual(said, [], 'an error in the console');
  assert.equal(await child.stop(), 0);
  assert.deepEqual(child.lines.filter((line) => line.includes('panicked at')), []);
});
