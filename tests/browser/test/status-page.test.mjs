// The operator's status page: its contents, its usability during updates, contrast, narrow screens.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';

import { launch, ownPage } from '../tools/browser.mjs';
import { becomes, eventually } from '../tools/wait.mjs';
import { Watched } from '../tools/watched.mjs';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** The cells of the column “Events kept”. */
const KEPT = 'td[data-label="Events kept"]';

let watched;
let browser;
before(async () => {
  watched = await Watched.start();
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await watched?.stop();
});

/** The page with its streams and rates. */
async function open(t, options = {}, url = watched.url) {
  const page = await ownPage(t, browser, options);
  await page.goto(url);
  await page.locator('#streams tr').nth(2).waitFor();
  await eventually('there are rates', async () => /^\d/.test(await page.locator('#rate-out').textContent()));
  return page;
}

test('it shows streams, subscribers, rates, upstream states and gaps, and changes by itself', async (t) => {
  const page = await open(t);
  const text = (selector) => page.locator(selector).first().textContent();

  assert.equal(await text('#subscribers'), '62');
  assert.equal(await text('#streams-open'), '3');
  assert.equal(await text('#gaps'), '1');
  assert.equal(await text('#health'), 'ready');
  const stream = (key) => page.locator('#streams tr', { hasText: key });
  assert.match(await stream('/news/today').innerText(), /live[\s\S]*41/);
  assert.match(await stream('/orders/open').innerText(), /(opening|retrying)/);
  const kept = () => stream('/news/today').locator(KEPT).textContent();
  const before = await kept();
  await eventually('more events are kept', async () => await kept() !== before);
  assert.deepEqual(page.errors, []);
});

test('a link keeps the focus while its row changes, and leads to the stream', async (t) => {
  const page = await open(t);
  const row = page.locator('#streams tr', { hasText: '/news/today' });
  const link = row.getByRole('link', { name: '/news/today' });

  await link.focus();
  const kept = () => row.locator(KEPT).textContent();
  for (let change = 0; change < 2; change += 1) {
    const before = await kept();
    await eventually('the row changes', async () => await kept() !== before);
  }

  assert.equal(await page.evaluate(() => document.activeElement.textContent), '/news/today');
  await page.keyboard.press('Enter');
  await page.waitForURL('**/streams/news/**');
  assert.match(await page.locator('body').innerText(), /"slowest"/);
  const tap = await browser.newContext();
  t.after(() => tap.close());
  const other = await tap.newPage();
  await other.goto(watched.url);
  const way = await other.locator('#streams tr', { hasText: '/news/today' }).getByRole('link', { name: 'tap' }).getAttribute('href');
  assert.match(way, /^tap\/news\//);
});

test('streams in trouble come first, then those with most subscribers', async (t) => {
  const page = await open(t);

  await eventually('the third is retrying', () => page.locator('#streams tr', { hasText: 'retrying' }).count());

  const names = await page.locator('#streams td.name .key').allTextContents();
  assert.deepEqual(names, ['/orders/open', '/news/today', '/prices/EURUSD']);
  assert.equal(await page.locator('#shown').textContent(), '3; in trouble first, then by subscribers');
});

test('the filter shows the streams whose route or key has its text', async (t) => {
  const page = await open(t);
  const filter = page.getByLabel('Filter');
  const names = () => page.locator('#streams td.name .key').allTextContents();

  await filter.fill('eurusd');
  await becomes(['/prices/EURUSD'], names);
  assert.match(await page.locator('#shown').textContent(), /^1 of 3/);
  await filter.fill('news /tomorrow');
  await becomes([], names);
  assert.equal(await page.locator('#no-streams').innerText(), 'No stream matches.');
  await filter.fill('news /news/t');
  await becomes(['/news/today'], names);
  const kept = () => page.locator('#streams tr').first().locator(KEPT).textContent();
  const before = await kept();
  await eventually('what is filtered goes on changing', async () => await kept() !== before);

  assert.equal((await names()).length, 1);
  assert.equal(await filter.inputValue(), 'news /news/t');
  assert.deepEqual(page.errors, []);
});

test('on a narrow screen thirty streams are a list to look through, and not a page for each', async (t) => {
  const crowd = await Watched.start(4, 27);
  t.after(() => crowd.stop());

  const page = await open(t, { viewport: { width: 400, height: 900 } }, crowd.url);
  await page.locator('#streams tr').nth(29).waitFor();

  const heights = await page.locator('#streams tr').evaluateAll((rows) => rows.map((row) => row.offsetHeight));
  assert.ok(Math.max(...heights) <= 130, `rows are ${heights} pixels high`);
  assert.ok(heights.reduce((sum, height) => sum + height) <= 2500, `together ${heights.reduce((a, b) => a + b)}`);
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 400);
});

for (const colorScheme of ['light', 'dark']) {
  for (const width of [1280, 400]) {
    test(`it fits ${width} pixels and can be read in ${colorScheme}`, async (t) => {
      const page = await open(t, { colorScheme, viewport: { width, height: 900 } });

      assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), width);
      const ground = await page.evaluate(() => getComputedStyle(document.body).backgroundColor.match(/\d+/g).map(Number));
      assert.equal(ground.every((part) => part < 60), colorScheme === 'dark', String(ground));
      await page.evaluate(AXE);
      const { violations } = await page.evaluate(() => window.axe.run());
      assert.deepEqual(violations.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)]), []);
    });
  }
}
