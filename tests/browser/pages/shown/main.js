// A page that reads a stream while it is visible. Its query has the `url`, and the time in milliseconds after which a page in
// the background counts as `hidden`.

import { readWhileShown } from './read-while-shown.js';

const query = new URLSearchParams(location.search);

/** Read by the test: the received events, and the changes of the page's visibility in order. */
window.received = [];
window.shown = [];
window.addEventListener('pageshow', ({ persisted }) => window.shown.push(persisted ? 'restored' : 'loaded'));

const heard = ({ data }) => window.received.push(JSON.parse(data));
window.stop = readWhileShown(query.get('url'), { message: heard, 'rillgate.resume': heard }, { hiddenFor: Number(query.get('hidden')) });
