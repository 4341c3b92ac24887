// The npm package `@microsoft/fetch-event-source`. It reconnects only after an error: a clean end, as at a drain or when a
// token expires, ends it unless `onclose` throws. A refusal is retried unless `onerror` throws.

import { EventStreamContentType, fetchEventSource } from '@microsoft/fetch-event-source';

import { authorization, closed, report, url } from './adapter.mjs';

// The package is for browsers, so `window` gets Node's timers.
globalThis.window = globalThis;
globalThis.document = { addEventListener() {}, removeEventListener() {} };

class Refused extends Error {
  constructor(status) {
    super(`status ${status}`);
    this.status = status;
  }
}

fetchEventSource(url, {
  openWhenHidden: true,
  // The package repeats the headers of the first connection. A renewed token needs this function.
  fetch: (input, init) => fetch(input, { ...init, headers: { ...init.headers, ...authorization() } }),
  async onopen(response) {
    if (response.ok && response.headers.get('content-type')?.startsWith(EventStreamContentType)) return;
    if ((response.status >= 400 && response.status < 500 && response.status !== 429) || response.status === 204) {
      throw new Refused(response.status);
    }
    throw new Error(`status ${response.status}`);
  },
  onmessage: (message) => report({ type: message.event, data: message.data, id: message.id }),
  onclose() {
    throw new Error('the response ended');
  },
  onerror(error) {
    if (error instanceof Refused) throw error;
    report({ lost: error.message });
  },
}).catch((error) => closed(error.status));
