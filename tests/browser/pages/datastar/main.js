// A page with Datastar. It reads the stream at its query's `url` and merges the fragments that it receives.

const url = new URLSearchParams(location.search).get('url');
document.getElementById('reader').dataset.onLoad = `@get('${url}', { openWhenHidden: true })`;

/** Read by the test: true if the library gave up or took the end of a response for the end of the stream. */
window.finished = 0;
document.addEventListener('datastar-sse', ({ detail }) => { if (detail.type === 'finished') window.finished += 1; });

// Datastar reads the page's attributes when it is loaded.
import('@starfederation/datastar/bundles/datastar');
