// Chromium and Firefox as Debian has them, headless, driven by puppeteer-core: what pages do in both, in the same words.
//
// The pages are real tabs: another one in front hides them, and the back/forward cache keeps them. (playwright-core, in
// browser.mjs, drives no Firefox but its own, has no back/forward cache, and calls every page visible.)

import puppeteer from 'puppeteer-core';

import { CHROMIUM, switches } from './browser.mjs';
import { HOSTS } from './identity.mjs';

const FIREFOX = process.env.FIREFOX ?? '/usr/bin/firefox-esr';

/** Each by name, with what its console says of a page's event source that was refused with this status, how a
 *  page goes back, and whether its back/forward cache takes pages with an open event source. */
export const BROWSERS = {
  Chromium: {
    start: (identity) => puppeteer.launch({ executablePath: CHROMIUM, args: switches(identity) }),
    refused: (status) => `status of ${status}`,
    back: (page) => page.goBack(),
    keepsPagesThatRead: true,
  },
  Firefox: {
    start: () => puppeteer.launch({
      browser: 'firefox',
      executablePath: FIREFOX,
      acceptInsecureCerts: true,
      extraPrefsFirefox: {
        'network.dns.localDomains': Object.values(HOSTS).join(','),
        'network.dns.disableIPv6': true,
      },
    }),
    refused: () => 'Firefox can’t establish a connection to the server at',
    // goBack() waits for the load of a page that is not loaded, but taken from the cache.
    back: (page) => page.evaluate(() => { history.back(); }),
    keepsPagesThatRead: false,
  },
};

/** Starts it with `newContext()`, which is a profile of its own. */
export async function start({ start }, identity) {
  const browser = await start(identity);
  return {
    newContext: () => browser.createBrowserContext(),
    close: () => browser.close(),
  };
}
