// Takes screenshots of the demo's page and the status page, at two widths and in both colour schemes:
//
//   npm run screenshots         into screenshots/, which is not in git
//
// The demo's page has ten more clients in the first panel, a client of the second that reconnected, and a client of the
// third that is disconnected. The status page has live streams and one whose upstream is down. The picture in docs/pictures
// is status-1280-light.png.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';

import { launch } from './browser.mjs';
import { Demo } from './demo.mjs';
import { eventually } from './wait.mjs';
import { Watched } from './watched.mjs';

const folder = join(import.meta.dirname, '../screenshots');
mkdirSync(folder, { recursive: true });
const demo = await Demo.start();
const watched = await Watched.start();
const browser = await launch();
try {
  for (const width of [1280, 400]) {
    for (const colorScheme of ['light', 'dark']) {
      const page = await browser.newPage({ ignoreHTTPSErrors: true, colorScheme, viewport: { width, height: 900 } });
      await page.goto(demo.url);
      await page.locator('.panel[data-state="live"]').nth(4).waitFor();
      await page.getByRole('button', { name: 'Add 10 clients' }).first().click();
      await page.getByRole('button', { name: 'Drop for 5 s' }).nth(1).click();
      await eventually('what was missed is there', () => page.locator('.verdict.resumed').count());
      await page.getByRole('button', { name: 'Drop for 5 s' }).nth(2).click();
      await eventually('the gateway counts it again', async () => await page.locator('.clients').nth(1).textContent() === '1');
      await page.screenshot({ path: join(folder, `${width}-${colorScheme}.png`), fullPage: true });
      await page.close();

      const status = await browser.newPage({ colorScheme, viewport: { width, height: 400 } });
      await status.goto(watched.url);
      await eventually('there are rates', async () => /^[1-9]/.test(await status.locator('#rate-out').textContent()));
      await eventually('one is in trouble', () => status.locator('#streams tr', { hasText: 'retrying' }).count());
      await status.screenshot({ path: join(folder, `status-${width}-${colorScheme}.png`), fullPage: true });
      await status.close();
    }
  }
} finally {
  await browser.close();
  await demo.stop();
  await watched.stop();
}
console.log(`in ${folder}`);
