import { watchShown } from './watch-shown.js';

/** Reads a stream while its page is looked at, and goes on after the last event. `listeners` has a function for each type of
 *  event; with one for `rillgate.resume` the page hears of gaps, and knows an id before the first event. */
export function readWhileShown(url, listeners, { hiddenFor, withCredentials = false } = {}) {
  let source;
  let lastEventId = '';
  const open = () => {
    const from = new URL(url, document.baseURI);
    if (lastEventId) from.searchParams.set('last_event_id', lastEventId);
    source = new EventSource(from, { withCredentials });
    for (const [type, heard] of Object.entries(listeners)) {
      source.addEventListener(type, (event) => {
        lastEventId = event.lastEventId;
        heard(event);
      });
    }
  };

  open();
  const unwatch = watchShown((shown) => (shown ? open() : source.close()), hiddenFor);
  return () => {
    unwatch();
    source.close();
  };
}
