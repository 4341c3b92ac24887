// Debian's Chromium, headless, driven by playwright-core. Records the events of a page's event sources.

import { accessSync } from 'node:fs';

import { chromium } from 'playwright-core';

export const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';

/** Returns the options of a Chromium that trusts this identity's key and resolves all names under `.test` to this machine. */
export const switches = (identity) => ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync',
  '--host-resolver-rules=MAP *.test 127.0.0.1',
  ...(identity ? [`--ignore-certificate-errors-spki-list=${identity.fingerprint}`] : [])];

/** Starts Chromium. */
export async function launch(identity) {
  accessSync(CHROMIUM);
  return chromium.launch({ executablePath: CHROMIUM, headless: true, args: switches(identity) });
}

/** Makes a page in a profile of its own, which ends with the test, and collects its errors. */
export async function ownPage(t, browser, options = {}) {
  const context = await browser.newContext(options);
  t.after(() => context.close());
  const page = await context.newPage();
  page.errors = [];
  page.on('console', (message) => { if (message.type() === 'error') page.errors.push(message.text()); });
  page.on('pageerror', (error) => page.errors.push(String(error)));
  return page;
}

/** Opens a page and collects its console messages. */
export async function open(context, url) {
  const page = await context.newPage();
  page.said = [];
  page.on('console', (message) => page.said.push(message.text()));
  page.on('pageerror', (error) => page.said.push(String(error)));
  await page.goto(url);
  return page;
}

/** The code in the page: event sources by name, and a record of their events. */
function recorder() {
  window.sources = {};
  window.listen = (name, url, { types = [], credentials = false } = {}) => {
    const source = new EventSource(url, { withCredentials: credentials });
    const record = { source, opened: 0, errors: [], events: [] };
    window.sources[name] = record;
    source.onopen = () => { record.opened += 1; };
    source.onerror = () => record.errors.push(source.readyState);
    const received = ({ type, data, lastEventId }) => record.events.push({ type, data: JSON.parse(data), id: lastEventId });
    for (const type of ['message', ...types]) source.addEventListener(type, received);
  };
  window.told = (name) => {
    const { source, opened, errors, events } = window.sources[name];
    return { state: source.readyState, opened, errors, events };
  };
}

/** The test's view of an event source in a page. */
export class Listener {
  static async open(page, url, options = {}, name = 'it') {
    if (!await page.evaluate(() => 'listen' in window)) await page.evaluate(recorder);
    await page.evaluate(([name, url, options]) => window.listen(name, url, options), [name, url, options]);
    return Object.assign(new Listener(), { page, name });
  }

  /** `{ state, opened, errors, events }`; errors are the states in which they were reported. */
  told() { return this.page.evaluate((name) => window.told(name), this.name); }

  async events() { return (await this.told()).events; }

  async data() { return (await this.events()).map(({ data }) => data); }

  async opened() { return (await this.told()).opened; }

  async state() { return (await this.told()).state; }

  close() { return this.page.evaluate((name) => window.sources[name].source.close(), this.name); }
}

export const CONNECTING = 0;
export const OPEN = 1;
export const CLOSED = 2;
