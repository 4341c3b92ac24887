// A page that reads a stream while it is looked at. In its query: `url`, and after how many milliseconds it is `hidden`.

import { readWhileShown } from './read-while-shown.js';

const query = new URLSearchParams(location.search);

/** For the test to look at: what was received, and how the page was shown, the newest time last. */
window.received = [];
window.shown = [];
window.addEventListener('pageshow', ({ persisted }) => window.shown.push(persisted ? 'restored' : 'loaded'));

const heard = ({ data }) => window.received.push(JSON.parse(data));
window.stop = readWhileShown(query.get('url'), { message: heard, 'rillgate.resume': heard }, { hiddenFor: Number(query.get('hidden')) });
