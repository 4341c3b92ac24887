// Datastar and htmx on a page of another origin that sends a POST: without the gateway and with it, and after a cut, which their
// own clients mend with the same POST and `Last-Event-ID`.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { HOSTS } from '../tools/identity.mjs';
import { Relay } from '../tools/relay.mjs';
import { becomes } from '../tools/wait.mjs';
import { fixture } from '../tools/fixture.mjs';
import { item, LIBRARIES } from '../tools/hypermedia.mjs';

const w = fixture();

for (const [folder, library] of Object.entries(LIBRARIES)) {
  const tables = () => w.tables(
    'post = { key = "body", across_subjects = true }\ndelivery = { retry = "100ms", end = "cut" }', { headers: library.headers });

  /** A page that posts to this URL, and the content of its list. */
  async function posting(t, url) {
    const page = await w.page(t, `${w.site.origin}/${folder}/index.html?method=post&url=${encodeURIComponent(url)}`);
    return {
      list: () => page.evaluate(() => document.getElementById('lines').innerHTML),
      finished: () => page.evaluate(() => window.finished > 0),
    };
  }

  const say = (path, number) => w.producer.say(path, library.text(number), library.type);

  function finish(path) {
    w.producer.say(path, '', 'done');
    w.producer.end(path);
  }

  test(`${library.name} shows the answer to a POST as without the gateway`, async (t) => {
    const gateway = await w.gateway(t, tables());
    const shown = [];
    for (const [base, path] of [
      [w.producer.url, `/stream/${folder}-direct`],
      [`https://${HOSTS.events}:${gateway.ports.public}`, `/stream/${folder}-through`],
    ]) {
      const { list, finished } = await posting(t, `${base}${path}`);
      await becomes(1, () => w.producer.connections(path));

      for (const number of [1, 2, 3]) say(path, number);
      finish(path);

      await becomes(true, finished);
      shown.push(await list());
      assert.equal(w.producer.opened(path), 1);
    }

    assert.deepEqual(shown, Array(2).fill([1, 2, 3].map(item).join('')));
  });

  test(`${library.name} resumes the answer to a POST after a cut, and the producer is asked once`, async (t) => {
    const gateway = await w.gateway(t, tables());
    const relay = await Relay.start(gateway.ports.public);
    t.after(() => relay.stop());
    const path = `/stream/${folder}-cut`;
    const { list, finished } = await posting(t, `https://${HOSTS.events}:${relay.port}${path}`);
    await becomes(1, () => w.producer.connections(path));
    say(path, 1);
    await becomes(item(1), list);

    relay.cut();
    say(path, 2);

    await becomes([1, 2].map(item).join(''), list);
    say(path, 3);
    finish(path);
    await becomes(true, finished);
    assert.equal(await list(), [1, 2, 3].map(item).join(''));
    assert.equal(w.producer.opened(path), 1);
    assert.equal(await gateway.metric('subscriptions_total', { verdict: 'resumed' }), 1);
  });
}
