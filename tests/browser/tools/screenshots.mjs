// Takes screenshots of the demo's page and the status page, at two widths and in both colour schemes:
//
//   npm run screenshots         into screenshots/, which is not in git
//
// The demo's page has ten more clients in the first panel, a client of the second that reconnected, and a client of the
// third that is disconnected. The status page has live streams and one whose upstream is down, and then a thousand streams. The
// picture in docs/pictures is status-1280-light.png.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';

import { launch } from './browser.mjs';
import { Crowd } from './crowd.mjs';
import { Demo } from './demo.mjs';
import { eventually } from './wait.mjs';
import { Watched } from './watched.mjs';

const folder = join(import.meta.dirname, '../screenshots');
mkdirSync(folder, { recursive: true });
const browser = await launch();

/** Calls `take` for each width and colour scheme. */
async function each(take) {
  for (const width of [1280, 400]) for (const colorScheme of ['light', 'dark']) await take(width, colorScheme);
}

async function demoPage() {
  const demo = await Demo.start();
  await each(async (width, colorScheme) => {
    const page = await browser.newPage({ ignoreHTTPSErrors: true, colorScheme, viewport: { width, height: 900 } });
    await page.goto(demo.url);
    await page.locator('.panel[data-state="live"]').nth(4).waitFor();
    for (const panel of [1, 2]) await page.locator('.panel').nth(panel).getByRole('listitem').nth(2).waitFor();
    await page.getByRole('button', { name: 'Add 10 clients' }).first().click();
    await page.getByRole('button', { name: 'Drop for 5 s' }).nth(1).click();
    await eventually('what was missed is there', () => page.locator('.verdict.resumed').count());
    await page.getByRole('button', { name: 'Drop for 5 s' }).nth(2).click();
    await eventually('the gateway counts it again', async () => await page.locator('.clients').nth(1).textContent() === '1');
    await page.screenshot({ path: join(folder, `${width}-${colorScheme}.png`), fullPage: true });
    await page.close();
  });
  await demo.stop();
}

async function statusPage(name, world) {
  await each(async (width, colorScheme) => {
    const page = await browser.newPage({ colorScheme, viewport: { width, height: 400 } });
    await page.goto(world.url);
    await eventually('there are rates', async () => /^[1-9]/.test(await page.locator('#rate-out').textContent()));
    await eventually('one is in trouble', () => page.locator('#streams tr', { hasText: 'retrying' }).count());
    const points = () => page.locator('svg.past polyline').first().getAttribute('points');
    await eventually('there is a past', async () => (await points())?.split(' ').length > 15, 60_000);
    await page.screenshot({ path: join(folder, `${name}-${width}-${colorScheme}.png`), fullPage: true });
    await page.close();
  });
  await world.stop();
}

try {
  // One after the other: a thousand streams are work, and the demo has times to keep.
  await demoPage();
  await statusPage('status', await Watched.start());
  await statusPage('crowd', await Crowd.start());
} finally {
  await browser.close();
}
console.log(`in ${folder}`);
