// The npm package `eventsource-parser` with `fetch`. It is only a parser: the application reconnects.

import { createParser } from 'eventsource-parser';
import { setTimeout as sleep } from 'node:timers/promises';

import { authorization, closed, report, url } from './adapter.mjs';

let lastEventId = '';
let retry = 1000;

const parser = createParser({
  onEvent: (event) => report({ type: event.event ?? 'message', data: event.data, id: event.id ?? lastEventId }),
  onId: (id) => { lastEventId = id; },
  onRetry: (milliseconds) => { retry = milliseconds; },
});

// The status of a refusal that is final.
async function connect() {
  const headers = { accept: 'text/event-stream', ...authorization() };
  if (lastEventId) headers['last-event-id'] = lastEventId;
  const response = await fetch(url, { headers });
  if (response.status === 204 || (response.status >= 400 && response.status < 500 && response.status !== 429)) {
    return response.status;
  }
  if (response.status !== 200) throw new Error(`status ${response.status}`);
  for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) parser.feed(chunk);
  throw new Error('the response ended');
}

for (;;) {
  try {
    closed(await connect());
    break;
  } catch (error) {
    parser.reset();
    report({ lost: error.message });
    await sleep(retry);
  }
}
