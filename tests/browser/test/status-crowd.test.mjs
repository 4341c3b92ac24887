// The status page with a thousand streams: order, filter, keyboard, size, contrast, the last minutes, who is slow and why a
// stream is not live.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';

import { launch, ownPage } from '../tools/browser.mjs';
import { Crowd, LONG_PATH, STREAMS, symbol } from '../tools/crowd.mjs';
import { becomes, eventually } from '../tools/wait.mjs';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** Widths, and the most that the page may be high there, in pixels. */
const WIDTHS = [[1280, 3200], [400, 6000]];

let crowd;
let browser;
before(async () => { [crowd, browser] = await Promise.all([Crowd.start(), launch()]); });
after(async () => {
  await browser?.close();
  await crowd?.stop();
});

/** The page once it shows streams. */
async function open(t, { query = '', ...options } = {}) {
  const page = await ownPage(t, browser, options);
  await page.goto(`${crowd.url}${query}`);
  await page.locator('#streams tr').first().waitFor();
  return page;
}

/** The keys of the shown streams. */
const keys = (page) => page.locator('#streams td.name .key').allTextContents();

const first = async (page) => (await keys(page))[0];

const sortOf = (page, column) => page.locator(`#streams-table th[data-sort="${column}"]`).getAttribute('aria-sort');

test('fifty of a thousand streams are shown and the rest is counted, with a way to more', async (t) => {
  const page = await open(t);
  const more = page.locator('#more');

  assert.equal(await page.locator('#streams tr').count(), 50);
  assert.match(await more.innerText(), /^950 more: narrow the filter, or/);
  await more.getByRole('button', { name: 'Show 100 more' }).press('Enter');
  await eventually('there are 150', async () => await page.locator('#streams tr').count() === 150);

  assert.match(await more.innerText(), /^850 more/);
  assert.equal(await page.locator('#routes tr').count(), 10);
  await page.getByRole('button', { name: /^Show all \d+ routes$/ }).press('Enter');
  assert.ok(await page.locator('#routes tr').count() > 20);
  assert.deepEqual(page.errors, []);
});

test('a header sorts by its column, then the other way round, then as before, with the keyboard', async (t) => {
  const page = await open(t);
  await becomes('/orders/open', () => first(page));
  assert.equal(await sortOf(page, 'subscribers'), 'none');

  const subscribers = page.getByRole('button', { name: 'Subscribers' });
  await subscribers.focus();
  await page.keyboard.press('Enter');
  await becomes(symbol(1), () => first(page));
  assert.equal(await sortOf(page, 'subscribers'), 'descending');
  assert.match(await page.locator('#shown').textContent(), /; by subscribers$/);
  await page.keyboard.press('Space');
  await eventually('the fewest come first', async () => await first(page) !== symbol(1));
  assert.equal(await sortOf(page, 'subscribers'), 'ascending');
  await page.keyboard.press('Enter');
  await becomes('/orders/open', () => first(page));
  assert.equal(await sortOf(page, 'subscribers'), 'none');

  await page.getByRole('button', { name: 'Stream', exact: true }).press('Enter');
  await eventually('sorted by name', async () => JSON.stringify(await keys(page)) === JSON.stringify((await keys(page)).toSorted()));
  assert.equal(await sortOf(page, 'name'), 'ascending');
  await page.getByRole('button', { name: 'Events/s' }).press('Enter');
  await eventually('busy ones come first', async () => {
    const rates = await page.locator('#streams td[data-label="Events/s"]').allTextContents();
    return Number(rates[0]) > 1 && rates.slice(30).every((rate) => Number(rate) === 0);
  });
  assert.match(page.url(), /\?sort=rate$/);
  assert.deepEqual(page.errors, []);
});

test('a slash leads to the filter, which searches in all streams, and Escape empties it', async (t) => {
  const page = await open(t);

  await page.keyboard.press('/');
  assert.equal(await page.evaluate(() => document.activeElement.id), 'filter');
  await page.keyboard.type('0777');
  await becomes([symbol(777)], () => keys(page));
  await becomes('1 of 1,000; in trouble first, then by subscribers', () => page.locator('#announced').textContent());
  assert.equal(await page.locator('#more').isVisible(), false);
  await page.reload();
  await becomes([symbol(777)], () => keys(page));
  await page.keyboard.press('/');
  await page.keyboard.press('Escape');
  await eventually('all are back', async () => await page.locator('#streams tr').count() === 50);

  const state = page.getByLabel('State');
  await state.focus();
  await page.keyboard.type('ret');
  await becomes(['/orders/open'], () => keys(page));
  await state.selectOption('');
  await page.locator('#route').selectOption('slow');
  await becomes(['/slow/reader'], () => keys(page));
  assert.deepEqual(page.errors, []);
});

test('the focus goes through filter and headers to the streams, and is seen', async (t) => {
  const page = await open(t);
  const focused = () => page.evaluate(() => {
    const { outlineStyle, outlineWidth } = getComputedStyle(document.activeElement);
    return [document.activeElement.textContent || document.activeElement.id, outlineStyle, parseInt(outlineWidth, 10)];
  });

  await page.keyboard.press('/');
  const order = [await focused()];
  for (let press = 0; press < 7; press += 1) {
    await page.keyboard.press('Tab');
    order.push(await focused());
  }

  assert.deepEqual(order.map(([name]) => name), ['filter', 'Stream', 'State', 'Subscribers', 'Events/s', 'Behind', '/orders/open', 'tap']);
  assert.ok(order.every(([, style, width]) => style === 'solid' && width >= 2), JSON.stringify(order));
});

test('it says why a stream is not live, in the words of the page about symptoms', async (t) => {
  const page = await open(t);
  const symptoms = readFileSync(new URL('../../../docs/troubleshooting.md', import.meta.url), 'utf8');

  const reason = await page.locator('#streams tr', { hasText: '/orders/open' }).locator('.reason').textContent();

  assert.match(reason, /^the upstream cannot be reached: .*127\.0\.0\.1:9/);
  assert.ok(symptoms.includes(`| ${reason.split(':')[0]} |`));
});

test('it names the clients that are slow, and how far they are behind', async (t) => {
  const page = await open(t, { query: '?sort=lag' });

  const client = page.locator('#slow tr', { hasText: '/slow/reader' });
  await eventually('it is slow', () => client.count());
  assert.match(await client.innerText(), /127\.0\.0\.1 · h1[\s\S]*\d+ events[\s\S]*(\d+ s|off the log)/);
  await becomes('/slow/reader', () => first(page));
});

test('a page that is opened shows the last minutes at once', async (t) => {
  await eventually('the gateway has samples', async () => {
    const response = await fetch(`${crowd.url}events?limit=1`);
    const { value } = await response.body.getReader().read();
    return JSON.parse(new TextDecoder().decode(value).slice('data: '.length)).history.subscribers.length > 2;
  });

  const page = await open(t);

  const lines = await page.locator('svg.past polyline').evaluateAll((all) => all.map((line) => line.getAttribute('points').split(' ').length));
  assert.equal(lines.length, 5);
  assert.ok(lines.every((points) => points > 2), String(lines));
  assert.match(await page.locator('svg.past').first().getAttribute('aria-label'), /^max 1,0\d\d in \d+ (s|min)$/);
  await eventually('they go on', async () => (await page.locator('svg.past polyline').first().getAttribute('points')).split(' ').length > lines[0]);
});

test('a thousand streams and a long name fit 1280 and 400 pixels, and can be read in both colour schemes', async (t) => {
  const page = await open(t, { query: '?q=a-name' });
  await page.evaluate(AXE);
  // Enough of the page to have each kind of text in it.
  const parts = [['header'], ['#totals'], ['#routes tr:nth-child(-n+3)'], ['#choice'], ['#streams-table thead'], ['#streams tr:nth-child(-n+6)'], ['#more']];
  assert.deepEqual(await keys(page), [LONG_PATH]);
  for (const [width] of WIDTHS) {
    await page.setViewportSize({ width, height: 900 });
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), width);
    assert.ok((await page.locator('#streams tr').boundingBox()).height < 200);
  }
  await page.keyboard.press('/');
  await page.keyboard.press('Escape');
  await eventually('all are there', async () => await page.locator('#streams tr').count() === 50);

  for (const [width, most] of WIDTHS) {
    await page.setViewportSize({ width, height: 900 });
    const [wide, high] = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.scrollHeight]);
    assert.equal(wide, width);
    assert.ok(high < most, `${STREAMS} streams are ${high} pixels high at ${width}`);
    for (const colorScheme of ['light', 'dark']) {
      await page.emulateMedia({ colorScheme });
      const { violations, passes } = await page.evaluate((include) => window.axe.run({ include }, { runOnly: ['color-contrast'] }), parts);
      assert.deepEqual(violations.flatMap(({ nodes }) => nodes.map(({ html }) => html)), [], `${width} ${colorScheme}`);
      const ratios = passes[0].nodes.map(({ any }) => any[0].data.contrastRatio);
      assert.ok(ratios.length > 40 && Math.min(...ratios) >= 4.5, `${ratios.length} texts, the least ${Math.min(...ratios)}`);
    }
  }
});
