// What most tests need, started once for a file: identity, producer, site, browser; and what is started for one test.

import assert from 'node:assert/strict';
import { after, before, describe } from 'node:test';

import { launch, open } from './browser.mjs';
import { BROWSERS, start } from './browsers.mjs';
import { Gateway } from './gateway.mjs';
import { Identity } from './identity.mjs';
import { Producer } from './producer.mjs';
import { Site } from './site.mjs';

/** Registers tests once for each browser, under its name, the browsers side by side. They get a world of their own, and the
 *  browser's own words. */
export function inEachBrowser(register) {
  describe('in each browser', { concurrency: true }, () => {
    for (const [name, browser] of Object.entries(BROWSERS)) {
      describe(name, { concurrency: false }, () => register(world((identity) => start(browser, identity)), browser));
    }
  });
}

/** Registers the hooks of a test file; the parts are there when its tests run. */
export function world(startBrowser = launch) {
  const parts = {};
  before(async () => {
    parts.identity = new Identity();
    parts.producer = await Producer.start();
    parts.site = await Site.start(parts.identity);
    parts.browser = await startBrowser(parts.identity);
  });
  after(async () => {
    await parts.browser?.close();
    parts.site?.stop();
    parts.producer?.stop();
  });

  parts.cors = (credentials, headers) => {
    const asked = headers.length ? `, headers = ${JSON.stringify(headers)}` : '';
    return `cors = { origins = ["${parts.site.origin}", "${parts.site.plainOrigin}"], credentials = ${credentials}${asked} }`;
  };

  /** The route `/stream/{name}`, read by the application's pages; `route` are further lines and tables of it. */
  parts.tables = (route = '', { auth = 'auth = "public"', credentials = false, headers = [], server = '' } = {}) => `
    [server]
    drain = { notice = "0s", spread = "500ms", deadline = "10s" }
    ${server}
    [upstreams.producer]
    urls = ["${parts.producer.url}"]
    backoff = { initial = "20ms", max = "200ms" }
    [[routes]]
    name = "streams"
    path = "/stream/{name}"
    upstream = "producer"
    ${auth}
    ${parts.cors(credentials, headers)}
    ${route}
  `;

  /** A gateway for one test, stopped after it; that it panicked somewhere fails the test. */
  parts.gateway = async (test, tables = parts.tables()) => {
    const gateway = await Gateway.start(parts.identity, tables);
    test.after(async () => {
      await gateway.stop('SIGKILL');
      assert.deepEqual(gateway.log().filter((line) => line.includes('panicked at')), []);
    });
    return gateway;
  };

  /** A page in a browser profile of its own (or the given one), closed after the test. */
  parts.page = async (test, url = `${parts.site.origin}/`, context = undefined) => {
    const profile = context ?? await parts.browser.newContext();
    if (!context) test.after(() => profile.close());
    return open(profile, url);
  };
  return parts;
}
