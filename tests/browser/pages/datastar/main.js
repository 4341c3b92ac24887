// A page with Datastar. It reads the stream at its query's `url`, with its query's `method`, and merges the fragments that it
// receives.

const query = new URLSearchParams(location.search);
const [method, url] = [query.get('method') ?? 'get', query.get('url')];
document.getElementById('reader').dataset.onLoad = `@${method}('${url}', { openWhenHidden: true })`;

/** Read by the test: true if the library gave up or took the end of a response for the end of the stream. */
window.finished = 0;
document.addEventListener('datastar-sse', ({ detail }) => { if (detail.type === 'finished') window.finished += 1; });

// Datastar reads the page's attributes when it is loaded.
import('@starfederation/datastar/bundles/datastar');
