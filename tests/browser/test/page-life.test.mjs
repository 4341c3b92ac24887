// An event source in a hidden tab and on a page that is left and restored, and the code in docs/browser.md that reads only
// while the page is visible.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { Listener, OPEN } from '../tools/browser.mjs';
import { becomes, eventually } from '../tools/wait.mjs';
import { inEachBrowser } from '../tools/fixture.mjs';

const LONG = 600_000;
const file = (name) => readFileSync(join(import.meta.dirname, '../../..', name), 'utf8');

test('the code in the documentation is the code that is tested here', () => {
  for (const name of ['watch-shown.js', 'read-while-shown.js']) {
    const code = file(`tests/browser/pages/shown/${name}`);
    assert.ok(file('docs/browser.md').includes(`\n\`\`\`js\n${code}\`\`\`\n`), `docs/browser.md shows ${name} as it is`);
  }
});

inEachBrowser((w, browser) => {
  /** A page that reads a stream while it is shown, with its first event received. */
  async function reading(t, path, hidden) {
    const gateway = await w.gateway(t, w.tables('replay = { verdict = "event" }'));
    const url = encodeURIComponent(`${gateway.origin}${path}`);
    const page = await w.page(t, `${w.site.origin}/shown/index.html?hidden=${hidden}&url=${url}`);
    const scene = {
      page,
      /** Emits an event while nobody looks, and waits until the gateway has it. */
      emitUnseen: async (data) => {
        const events = () => gateway.metric('upstream_events_total');
        const before = await events();
        w.producer.emit(path, data);
        await becomes(before + 1, events);
      },
      subscribers: () => gateway.metric('subscribers'),
      subscriptions: (verdict) => gateway.metric('subscriptions_total', verdict && { verdict }),
      received: () => page.evaluate(() => window.received),
      shown: () => page.evaluate(() => window.shown),
    };
    await becomes([{ resume: 'live' }], scene.received);
    w.producer.emit(path, 1);
    await becomes([{ resume: 'live' }, 1], scene.received);
    return scene;
  }

  /** Another tab in front of this one, which is hidden then. */
  async function hide(page) {
    const other = await page.browserContext().newPage();
    await other.bringToFront();
    await eventually('it is hidden', () => page.evaluate(() => document.hidden));
  }

  test('a tab that is hidden for long gives up its subscription, and misses nothing when it is shown again', async (t) => {
    const { page, emitUnseen, subscribers, subscriptions, received } = await reading(t, '/stream/hidden', 200);

    await hide(page);
    await becomes(0, subscribers);
    await emitUnseen(2);
    await page.bringToFront();

    await becomes([{ resume: 'live' }, 1, { resume: 'resumed', missed: 1 }, 2], received);
    assert.equal(await subscriptions(), 2);
  });

  test('a tab that is hidden for a moment keeps its connection', async (t) => {
    const { page, subscriptions, received } = await reading(t, '/stream/moment', LONG);

    await hide(page);
    w.producer.emit('/stream/moment', 2);
    await becomes([{ resume: 'live' }, 1, 2], received);
    await page.bringToFront();
    await eventually('it is shown', () => page.evaluate(() => !document.hidden));

    assert.equal(await subscriptions(), 1);
  });

  test('a page that was left holds no subscription, and goes on where it was if the browser kept it', async (t) => {
    const { page, emitUnseen, subscribers, received, shown } = await reading(t, '/stream/left', LONG);

    await page.goto(`${w.site.origin}/`);
    await becomes(0, subscribers);
    await emitUnseen(2);
    await browser.back(page);

    if (browser.keepsPagesThatRead) {
      await becomes(['loaded', 'restored'], shown);
      await becomes([{ resume: 'live' }, 1, { resume: 'resumed', missed: 1 }, 2], received);
    } else {
      await becomes(['loaded'], shown);
      await becomes([{ resume: 'live' }], received);
    }
  });

  test('a page that had stopped reading before it was left is kept by the browser, and goes on when it is shown', async (t) => {
    const { page, emitUnseen, subscribers, received, shown } = await reading(t, '/stream/restored', 200);
    await hide(page);
    await becomes(0, subscribers);

    await page.goto(`${w.site.origin}/`);
    await emitUnseen(2);
    await browser.back(page);
    await becomes(['loaded', 'restored'], shown);
    assert.equal(await subscribers(), 0, 'nobody looks at it yet');
    await page.bringToFront();

    await becomes([{ resume: 'live' }, 1, { resume: 'resumed', missed: 1 }, 2], received);
  });

  test('an event source that its page does not close is either kept open unseen, or costs the page its place', async (t) => {
    const gateway = await w.gateway(t);
    const page = await w.page(t);
    const listener = await Listener.open(page, `${gateway.origin}/stream/bare`);
    await becomes(OPEN, () => listener.state());

    await page.goto(`${w.site.origin}/state`);
    await becomes(browser.keepsPagesThatRead ? 1 : 0, () => gateway.metric('subscribers'));
    w.producer.emit('/stream/bare', 1);
    await browser.back(page);
    await eventually('the page', () => page.evaluate(() => document.title === 'empty'));

    if (browser.keepsPagesThatRead) await becomes([1], () => listener.data());
    else assert.equal(await page.evaluate(() => 'sources' in window), false, 'it was loaded anew');
  });
});
