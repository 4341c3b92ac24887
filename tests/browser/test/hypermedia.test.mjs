// Datastar and htmx on a page of another origin. Both libraries insert events into the page. They read with fetch and send
// header fields of their own, so the browser sends a CORS preflight first.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { HOSTS } from '../tools/identity.mjs';
import { Relay } from '../tools/relay.mjs';
import { becomes, eventually } from '../tools/wait.mjs';
import { inEachBrowser } from '../tools/fixture.mjs';
import { LIBRARIES } from '../tools/hypermedia.mjs';

inEachBrowser((w) => {
  for (const [folder, library] of Object.entries(LIBRARIES)) {
    const tables = (delivery, headers = library.headers) =>
      w.tables(`delivery = { retry = "100ms", ${delivery} }`, { headers });

    /** A page that reads this stream, and the numbers in it. */
    async function reading(t, path, gateway, port = gateway.ports.public) {
      const url = encodeURIComponent(`https://${HOSTS.events}:${port}${path}`);
      const page = await w.page(t, `${w.site.origin}/${folder}/index.html?url=${url}`);
      return {
        lines: () => page.evaluate(() => [...document.querySelectorAll('li')].map((line) => Number(line.textContent))),
        finished: () => page.evaluate(() => window.finished),
        said: () => page.said,
      };
    }

    const say = (path, number) => w.producer.say(path, library.text(number), library.type);

    test(`${library.name} shows what comes, and after a cut what came meanwhile`, async (t) => {
      const gateway = await w.gateway(t, tables('end = "clean"'));
      const relay = await Relay.start(gateway.ports.public);
      t.after(() => relay.stop());
      const path = `/stream/${folder}-cut`;
      const { lines } = await reading(t, path, gateway, relay.port);
      await becomes(1, () => gateway.metric('subscribers', { protocol: 'h2' }));
      say(path, 1);
      await becomes([1], lines);

      relay.cut();
      say(path, 2);

      await becomes([1, 2], lines);
      say(path, 3);
      await becomes([1, 2, 3], lines);
      assert.equal(await gateway.metric('subscriptions_total', { verdict: 'resumed' }), 1);
    });

    test(`${library.name} is kept out where the route does not name its fields`, async (t) => {
      const gateway = await w.gateway(t, tables('end = "clean"', library.headers.slice(1)));
      const path = `/stream/${folder}-refused`;
      const { said } = await reading(t, path, gateway);

      await eventually('it says so', async () => (await said()).length > 0);
      assert.equal(w.producer.opened(path), 0);
    });

    for (const end of ['clean', 'cut']) {
      const comesBack = end === 'cut' || library.comesBackAfterAnEnd;
      test(`${library.name} ${comesBack ? 'goes on without a hole' : 'stops'} where a route's end is ${end}`, async (t) => {
        const gateway = await w.gateway(t, tables(`end = "${end}", max_age = "1s"`));
        const path = `/stream/${folder}-${end}`;
        const { lines, finished } = await reading(t, path, gateway);
        const ends = () => gateway.metric('subscriptions_ended_total', { reason: 'max_age' });
        await becomes(1, () => gateway.metric('subscribers'));
        let sent = 0;
        const sending = setInterval(() => say(path, sent += 1), 20);
        t.after(() => clearInterval(sending));

        await eventually('its response ends', async () => await ends() >= (comesBack ? 2 : 1));

        if (comesBack) {
          const last = sent;
          await eventually('what came after', async () => (await lines()).at(-1) > last);
          const numbers = await lines();
          assert.deepEqual(numbers, numbers.map((_, index) => numbers[0] + index));
          assert.equal(await finished(), 0);
        } else {
          await becomes(1, finished);
          assert.equal(await gateway.metric('subscribers'), 0);
        }
      });
    }
  }
});
