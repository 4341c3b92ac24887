// The page of `rillgate demo`: its contents, keyboard use, screen readers, narrow screens.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';

import { launch, ownPage } from '../tools/browser.mjs';
import { Demo } from '../tools/demo.mjs';
import { becomes, eventually } from '../tools/wait.mjs';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const PANELS = ['EUR/USD', 'BTC/USD', 'Trades, in bursts', 'Deployments', 'An answer, word by word'];

let demo;
let browser;
before(async () => {
  demo = await Demo.start();
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await demo?.stop();
});

/** The page in a profile of its own, with every panel live. */
async function open(t, options = {}) {
  const page = await ownPage(t, browser, { ignoreHTTPSErrors: true, ...options });
  // The texts that a screen reader announces, in order: the changes of live regions.
  await page.addInitScript(() => {
    window.spoken = [];
    document.addEventListener('DOMContentLoaded', () => {
      for (const region of document.querySelectorAll('[role=status], [role=alert], [role=log], [aria-live]')) {
        new MutationObserver(() => window.spoken.push(region.textContent.trim()))
          .observe(region, { childList: true, characterData: true, subtree: true });
      }
    });
  });
  await page.goto(demo.url);
  await becomes(5, () => page.locator('.panel[data-state="live"]').count());
  return page;
}

const panel = (page, name) => page.getByRole('region', { name });
const spoken = (page) => page.evaluate(() => window.spoken);
const rows = async (page, name) => panel(page, name).getByRole('listitem').allTextContents();

test('every panel of the demo shows its stream, over one HTTP/2 connection, without an error in the console', async (t) => {
  const page = await open(t);

  for (const name of PANELS) await panel(page, name).waitFor();
  await eventually('prices', async () => (await rows(page, 'EUR/USD')).length === 3);
  await becomes('HTTP/2 over TLS', () => page.locator('#fact-protocol').textContent());
  await becomes('5', () => page.locator('#fact-upstream').textContent());
  assert.deepEqual(page.errors, []);
});

test('clients that are added share the upstream connection, and go when they are removed', async (t) => {
  const page = await open(t);
  const prices = panel(page, 'EUR/USD');

  await prices.getByRole('button', { name: 'Add 10 clients' }).click();
  await becomes(['1', '11'], () => prices.locator('.sharing b').allTextContents());

  await prices.getByRole('button', { name: 'Remove 10' }).click();
  await becomes(['1', '1'], () => prices.locator('.sharing b').allTextContents());
});

test('a dropped client comes back with what it missed, and says so once in words', async (t) => {
  const page = await open(t);
  const prices = panel(page, 'BTC/USD');
  await eventually('prices', async () => (await rows(page, 'BTC/USD')).length === 3);

  await prices.getByRole('button', { name: 'Drop for 5 s' }).click();

  await prices.getByText(/missed events replayed, #\d+ to #\d+ without a hole/).waitFor();
  const said = await spoken(page);
  assert.equal(said.length, 2, said.join(' | '));
  assert.equal(said[0], 'BTC/USD: connection dropped for 5 seconds.');
  assert.match(said[1], /^BTC\/USD: resumed, \d+ missed events replayed without a hole\.$/);
});

test('an answer survives reloads and is joined by a second tab, and the producer is asked once', async (t) => {
  const page = await open(t);
  const answers = panel(page, 'An answer, word by word');
  await answers.getByLabel('Prompt').fill('Who makes this answer?');

  await answers.getByRole('button', { name: 'Ask' }).click();

  await answers.getByText('Who makes this answer?').waitFor();
  for (let reloads = 0; reloads < 3; reloads += 1) {
    const words = (await answers.locator('.answer').textContent()).length;
    await eventually('more words', async () => (await answers.locator('.answer').textContent()).length > words);
    await answers.getByRole('button', { name: 'Reload the page' }).click();
    await answers.getByText(/events? of this answer came from the gateway/).waitFor();
  }
  const [second] = await Promise.all([page.context().waitForEvent('page'), answers.getByRole('link', { name: 'Open a second tab' }).click()]);
  const told = [];
  for (const tab of [page, second]) {
    const shown = panel(tab, 'An answer, word by word');
    await shown.getByText('complete').waitFor();
    told.push(await shown.locator('.answer').textContent(), await shown.locator('.previous').textContent());
  }
  assert.match(told[0], /^No model runs in this demo.*A model would have been paid once\.$/);
  assert.match(told[1], /The producer was asked once for this answer: it was its request 1\.$/);
  assert.deepEqual(told.slice(2), told.slice(0, 2));

  // The same question joins the answer that is there. Another one is a request of its own.
  for (const [prompt, sign] of [['Who makes this answer?', 'it was its request 1.'], ['And this one?', 'No model runs in']]) {
    await answers.getByLabel('Prompt').fill(prompt);
    await answers.getByRole('button', { name: 'Ask' }).click();
    await answers.getByText(prompt).waitFor();
    await answers.getByText(sign).waitFor();
  }
  assert.deepEqual(page.errors, []);
});

test('events that stream in are never read out: no live region holds them', async (t) => {
  const page = await open(t);
  const shown = async () => (await rows(page, 'EUR/USD'))[0];
  const seen = new Set();

  await eventually('twenty ticks', async () => seen.add(await shown()).size > 20, 60_000);

  assert.deepEqual(await spoken(page), []);
  const inside = await page.locator(':is([role=status], [role=alert], [role=log], [aria-live]) .panel, .panel :is([role=status], [role=alert], [role=log], [aria-live])').count();
  assert.equal(inside, 0);
});

test('the page is read in order: one heading of the page, a labelled region for each panel, named controls', async (t) => {
  const page = await open(t);

  assert.equal(await page.getByRole('heading', { level: 1 }).count(), 1);
  assert.equal(await page.getByRole('banner').count(), 1);
  assert.equal(await page.getByRole('main').count(), 1);
  const headings = await page.getByRole('heading', { level: 2 }).allTextContents();
  assert.deepEqual(headings, [...PANELS, 'Read it from a terminal']);
  for (const name of headings) await page.getByRole('region', { name }).waitFor();
  for (const button of await page.getByRole('button').all()) {
    assert.notEqual((await button.textContent()).trim(), '');
    const described = await button.getAttribute('aria-describedby');
    if (described) assert.ok(PANELS.includes(await page.locator(`[id="${described}"]`).textContent()));
  }
});

test('everything can be done at the keyboard, and the focus stays where it was and can be seen', async (t) => {
  const page = await open(t);
  const focused = () => page.evaluate(() => {
    const { activeElement: element } = document;
    return {
      name: element.textContent.trim(),
      panel: element.closest('.panel')?.querySelector('h2').textContent ?? null,
      outline: getComputedStyle(element).outlineStyle,
    };
  });

  const visited = [];
  for (let presses = 0; presses < 14; presses += 1) {
    await page.keyboard.press('Tab');
    visited.push(await focused());
  }

  const expected = PANELS.flatMap((name) => [[name, 'Drop for 5 s'], [name, 'Add 10 clients']]);
  expected.splice(8, 0, [PANELS[4], ''], [PANELS[4], 'Ask']);
  assert.deepEqual(visited.slice(0, 12).map(({ panel, name }) => [panel, name]), expected);
  assert.match(visited[12].name, /^curl /);
  assert.equal(visited[13].name, 'Copy');
  for (const { outline, name } of visited) assert.equal(outline, 'solid', name);

  const trades = panel(page, 'Trades, in bursts');
  await trades.getByRole('button', { name: 'Drop for 5 s' }).focus();
  await page.keyboard.press('Enter');
  await trades.getByText(/back in \d s/).waitFor();
  await page.keyboard.press('Enter');
  assert.deepEqual([(await focused()).panel, (await focused()).name], ['Trades, in bursts', 'Drop for 5 s']);

  await page.keyboard.press('Tab');
  for (const more of [10, 20, 30, 40]) {
    await page.keyboard.press('Enter');
    await trades.getByRole('button', { name: `Remove ${more}` }).waitFor();
  }
  assert.equal((await focused()).name, 'Add 10 clients', 'a limit that is reached takes no focus away');
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  assert.equal((await focused()).name, 'Add 10 clients', 'what has gone hands the focus on');
});

for (const colorScheme of ['light', 'dark']) {
  test(`axe finds nothing to improve in the ${colorScheme} scheme, and nothing is cut off at any width`, async (t) => {
    const page = await open(t, { colorScheme });
    for (const width of [1280, 400, 320]) {
      await page.setViewportSize({ width, height: 900 });
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      assert.equal(overflow, 0, `${width} pixels`);
    }
    await panel(page, 'BTC/USD').getByRole('button', { name: 'Drop for 5 s' }).click();
    await panel(page, 'BTC/USD').getByText(/back in/).waitFor();
    await panel(page, 'EUR/USD').getByRole('button', { name: 'Add 10 clients' }).click();

    await page.evaluate(AXE);
    const { violations, passes } = await page.evaluate(() => window.axe.run({
      runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'],
    }));

    assert.deepEqual(violations.map(({ id, nodes }) => [id, ...nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`)]), []);
    assert.ok(passes.length > 20, `${passes.length} rules`);
  });
}
