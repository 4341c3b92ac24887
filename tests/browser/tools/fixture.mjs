// The fixture of most test files: identity, producer, site and browser, started once for a file, and helpers that start parts
// for one test.

import assert from 'node:assert/strict';
import { after, before, describe } from 'node:test';

import { launch, open } from './browser.mjs';
import { BROWSERS, start } from './browsers.mjs';
import { Gateway } from './gateway.mjs';
import { Identity } from './identity.mjs';
import { Producer } from './producer.mjs';
import { Site } from './site.mjs';

/** Registers tests once for each browser, under its name. The browsers run in parallel, each with a fixture of its own. The
 *  tests also get the texts that differ between browsers. */
export function inEachBrowser(register) {
  describe('in each browser', { concurrency: true }, () => {
    for (const [name, browser] of Object.entries(BROWSERS)) {
      describe(name, { concurrency: false }, () => register(fixture((identity) => start(browser, identity)), browser));
    }
  });
}

/** Registers the hooks of a test file. The parts exist while its tests run. */
export function fixture(startBrowser = launch) {
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

  /** Returns a configuration with the route `/stream/{name}`. `route` are further lines and tables of the route. */
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

  /** Starts a gateway for one test and stops it afterwards. A panic of the gateway fails the test. */
  parts.gateway = async (test, tables = parts.tables()) => {
    const gateway = await Gateway.start(parts.identity, tables);
    test.after(async () => {
      await gateway.stop('SIGKILL');
      assert.deepEqual(gateway.log().filter((line) => line.includes('panicked at')), []);
    });
    return gateway;
  };

  /** Opens a page in a new browser profile or the given one. It is closed after the test. */
  parts.page = async (test, url = `${parts.site.origin}/`, context = undefined) => {
    const profile = context ?? await parts.browser.newContext();
    if (!context) test.after(() => profile.close());
    return open(profile, url);
  };
  return parts;
}
