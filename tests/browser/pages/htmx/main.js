// A page with htmx and its extension for Server-Sent Events. It reads the stream at its query's `url` and appends the events.
// Its configuration allows other origins, which htmx refuses by default.

import 'htmx.org/dist/htmx.esm.js';
import 'htmx.org/dist/ext/hx-sse.js';

// htmx reads the page's attributes once the page is complete, after this script.
const reader = document.getElementById('reader');
reader.setAttribute('hx-sse:connect', new URLSearchParams(location.search).get('url'));

/** Read by the test: the number of times that the extension stopped reading. */
window.finished = 0;
reader.addEventListener('htmx:sse:close', () => { window.finished += 1; });
