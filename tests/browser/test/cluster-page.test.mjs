// The status page of gateways that share their streams: who owns what, and the state of the engine.

import assert from 'node:assert/strict';
import { get } from 'node:http';
import { join } from 'node:path';
import { writeFileSync } from 'node:fs';
import { after, before, test } from 'node:test';

import { launch } from '../tools/browser.mjs';
import { Engine } from '../tools/engine.mjs';
import { Gateway } from '../tools/gateway.mjs';
import { Identity, folder } from '../tools/identity.mjs';
import { Producer } from '../tools/producer.mjs';
import { eventually } from '../tools/wait.mjs';

let browser;
let engine;
let producer;
let gateways;
before(async () => {
  [browser, engine, producer] = await Promise.all([launch(), Engine.start(), Producer.start()]);
  const key = join(folder(), 'cluster.key');
  writeFileSync(key, 'k'.repeat(32));
  const identity = new Identity();
  const start = () => Gateway.start(identity, `
    [cluster]
    urls = ["${engine.url}"]
    key = { file = "${key}" }
    replicas = 1
    lease = "1s"
    [upstreams.producer]
    urls = ["${producer.url}"]
    [[routes]]
    name = "news"
    path = "/news/{topic}"
    upstream = "producer"
    auth = "public"
    replay = { store = "cluster" }`);
  gateways = [await start(), await start()];
});
after(async () => {
  await browser?.close();
  await Promise.all((gateways ?? []).map((gateway) => gateway.stop('SIGKILL')));
  await engine?.stop();
  producer?.stop();
});

function read(gateway, path) {
  get({ host: '127.0.0.1', port: gateway.ports.plain, path, agent: false }, (response) => {
    response.on('error', () => {});
    response.resume();
  }).on('error', () => {});
}

test('each gateway shows who owns its streams, all gateways, and whether the engine is there', async () => {
  const [owner, follower] = gateways;
  read(owner, '/news/today');
  await eventually('the first gateway owns it', async () => await owner.metric('cluster_streams', { role: 'own' }) === 1);
  read(follower, '/news/today');
  const pages = await Promise.all(gateways.map(async (gateway) => {
    const page = await browser.newPage();
    page.errors = [];
    page.on('pageerror', (error) => page.errors.push(String(error)));
    await page.goto(`http://127.0.0.1:${gateway.ports.admin}/`);
    return page;
  }));
  const [own, other] = pages;
  const ownerOf = (page) => page.locator('#streams tr', { hasText: '/news/today' }).locator('td[data-label="Owner"]').textContent();
  const counts = async (page, node) => {
    const cells = page.locator('#nodes tr', { hasText: node }).locator('td.number');
    return (await cells.allTextContents()).slice(1);
  };

  await eventually('the owner says so', async () => await ownerOf(own) === 'this gateway');
  const me = await own.locator('#nodes tr', { hasText: '(this one)' }).locator('td').first().textContent();
  const node = me.replace(' (this one)', '');
  await eventually('the follower names the owner', async () => await ownerOf(other) === node);
  for (const page of pages) {
    await eventually('both gateways are listed', async () => await page.locator('#nodes tr').count() === 2);
    await eventually('the owner owns one stream', async () => String(await counts(page, node)) === '1,0,0');
    assert.match(await page.locator('#engine').textContent(), /^engine .*2\.\d+\.\d+/);
  }

  await engine.stop();
  for (const page of pages) {
    await eventually('the page says that the engine is away', async () => await page.locator('#engine').textContent() === 'engine away');
    assert.equal(await page.locator('#engine-problem').isVisible(), true);
  }
  await engine.start();
  for (const page of pages) {
    await eventually('the engine is back', async () => /^engine .*2\./.test(await page.locator('#engine').textContent()));
    assert.deepEqual(page.errors, []);
  }
});
