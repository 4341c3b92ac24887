// The npm package `eventsource` has the browser's interface and reconnects by itself. A header needs its `fetch` option.

import { EventSource } from 'eventsource';

import { authorization, closed, report, types, url } from './adapter.mjs';

const source = new EventSource(url, {
  fetch: (input, init) => fetch(input, { ...init, headers: { ...init.headers, ...authorization() } }),
});

const dispatched = (event) => report({ type: event.type, data: event.data, id: event.lastEventId });
source.onmessage = dispatched;
for (const type of types) source.addEventListener(type, dispatched);

source.onerror = (error) => {
  if (source.readyState === EventSource.CLOSED) closed(error.code);
  else report({ lost: error.message ?? 'the response ended' });
};
