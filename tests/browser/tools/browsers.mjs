// Debian's Chromium and Firefox, headless, driven by puppeteer-core through one interface.
//
// The pages are real tabs: a tab in front hides them, and the back/forward cache stores them. (playwright-core, used in
// browser.mjs, drives only its own Firefox, has no back/forward cache, and reports every page as visible.)

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
    // goBack() waits for a load event, which a page from the cache does not have.
    back: (page) => page.evaluate(() => { history.back(); }),
    keepsPagesThatRead: false,
  },
};

/** Starts it. `newContext()` makes a new profile. */
export async function start({ start }, identity) {
  const browser = await start(identity);
  return {
    newContext: () => browser.createBrowserContext(),
    close: () => browser.close(),
  };
}
