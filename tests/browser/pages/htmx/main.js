// A page with htmx and its extension for Server-Sent Events. It reads the stream at its query's `url`, with its query's `method`,
// and appends the events.
// Its configuration allows other origins, which htmx refuses by default.

import 'htmx.org/dist/htmx.esm.js';
import 'htmx.org/dist/ext/hx-sse.js';

// htmx reads the page's attributes once the page is complete, after this script.
const reader = document.getElementById('reader');
const query = new URLSearchParams(location.search);
const attributes = query.get('method') === 'post'
  // The answer to a POST is read again after a cut if the page says so, and ends with its own event.
  ? { 'hx-post': query.get('url'), 'hx-trigger': 'load', 'hx-config': '{"sse":{"reconnect":true}}', 'hx-sse:close': 'done' }
  : { 'hx-sse:connect': query.get('url') };
for (const [name, value] of Object.entries(attributes)) reader.setAttribute(name, value);

/** Read by the test: the number of times that the extension stopped reading. */
window.finished = 0;
reader.addEventListener('htmx:sse:close', () => { window.finished += 1; });
