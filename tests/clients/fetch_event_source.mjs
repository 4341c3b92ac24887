// The npm package `@microsoft/fetch-event-source`. It reconnects after an error, and only then: an end that is clean, as
// at a drain or when a token expires, ends it, unless `onclose` throws. A refusal is retried unless `onerror` throws.

import { EventStreamContentType, fetchEventSource } from '@microsoft/fetch-event-source';

import { authorization, closed, report, url } from './adapter.mjs';

// It is written for browsers: the timers of `window` are those of Node.
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
  // Its own headers are those of the first connection for ever; a token that is renewed needs this.
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
