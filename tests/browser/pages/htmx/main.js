// A page that htmx drives, with its extension for Server-Sent Events: it reads the stream of its query's `url`, and appends
// what comes. Its configuration allows other origins, which htmx itself refuses otherwise.

import 'htmx.org/dist/htmx.esm.js';
import 'htmx.org/dist/ext/hx-sse.js';

// htmx reads the page's attributes when the page is complete, which is after this.
const reader = document.getElementById('reader');
reader.setAttribute('hx-sse:connect', new URLSearchParams(location.search).get('url'));

/** For the test to look at: how often the extension has stopped reading. */
window.finished = 0;
reader.addEventListener('htmx:sse:close', () => { window.finished += 1; });
