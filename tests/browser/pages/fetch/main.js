// A page that reads with @microsoft/fetch-event-source, which can send header fields. EventSource cannot.

import { fetchEventSource } from '@microsoft/fetch-event-source';

class Refused extends Error {}

/** Called by the test. `window.told` records the events. */
window.read = (url, headers) => {
  const told = { opened: 0, status: 0, verdicts: [], events: [], empty: 0, error: '' };
  const controller = new AbortController();
  window.told = told;
  window.stop = () => controller.abort();
  fetchEventSource(url, {
    headers,
    signal: controller.signal,
    openWhenHidden: true,
    async onopen(response) {
      told.status = response.status;
      if (!response.ok) throw new Refused(`${response.status}: ${(await response.json()).detail}`);
      told.opened += 1;
      told.verdicts.push(response.headers.get('rillgate-resume'));
    },
    onmessage({ event, data, id }) {
      // The library reports a block without data, such as the gateway's first `id:`, as a message.
      if (!data) told.empty += 1;
      else told.events.push({ type: event || 'message', data: JSON.parse(data), id });
    },
    onclose() { throw new Error('the response ended'); },
    onerror(error) {
      told.error = String(error);
      if (error instanceof Refused) throw error;
      return 100;
    },
  }).catch(() => {});
};
