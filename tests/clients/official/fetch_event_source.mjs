// The npm package `@microsoft/fetch-event-source` with a POST. It tries again after an error, with the last id that it saw.

import { fetchEventSource } from '@microsoft/fetch-event-source';

import { scenario, url } from './transcript.mjs';

// The package is for browsers, so `window` gets Node's timers.
globalThis.window = globalThis;
globalThis.document = { addEventListener() {}, removeEventListener() {} };

const streamed = (model, more = {}) => async (seen) => {
  let text = '';
  await fetchEventSource(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: 'Bearer sk-test' },
    body: JSON.stringify({ model, stream: true }),
    openWhenHidden: true,
    async onopen(response) {
      if (response.status !== 200) throw Object.assign(new Error(await response.text()), { status: response.status });
    },
    // A response that resumes begins with a block that sets only the id.
    onmessage({ event, data }) {
      if (!data) return;
      seen.push({ event, data });
      if (data.startsWith('{')) text += JSON.parse(data).choices?.[0]?.delta.content ?? '';
    },
    onerror(error) { throw error; },
    ...more,
  });
  return { text };
};

for (const model of ['text', 'bad', 'denied', 'busy', 'failing', 'error', 'broken']) {
  await scenario(`chat ${model}`, streamed(model));
}
await scenario('chat endless, to its end', streamed('endless', { onerror: () => 50 }));
