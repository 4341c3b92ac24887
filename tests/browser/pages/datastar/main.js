// A page that Datastar drives: it reads the stream of its query's `url`, and merges the fragments that come.

const url = new URLSearchParams(location.search).get('url');
document.getElementById('reader').dataset.onLoad = `@get('${url}', { openWhenHidden: true })`;

/** For the test to look at: the library has given up, or taken the response's end for the end of all. */
window.finished = 0;
document.addEventListener('datastar-sse', ({ detail }) => { if (detail.type === 'finished') window.finished += 1; });

// Datastar reads the page's attributes as it is loaded.
import('@starfederation/datastar/bundles/datastar');
