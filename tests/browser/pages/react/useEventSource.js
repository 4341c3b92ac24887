import { useCallback, useEffect, useRef, useState } from 'react';

/** A common form of such a hook: the last message as state, closed on the first error.
 *  It listens to `message` only, so it misses typed events. Its `restart` opens the bare URL, which starts at the route's
 *  `replay.start` and not after the last event. */
export function useEventSource(url, { stopped = false, onEvent, onError } = {}) {
  const [state, setState] = useState({ status: 'closed', last: null });
  const [attempt, setAttempt] = useState(0);
  const source = useRef(null);
  const handlers = useRef({});
  useEffect(() => { handlers.current = { onEvent, onError }; });

  const close = useCallback(() => {
    source.current?.close();
    setState((state) => ({ ...state, status: 'closed' }));
  }, []);

  useEffect(() => {
    if (stopped) return undefined;
    const opened = new EventSource(url);
    source.current = opened;
    opened.onopen = () => setState((state) => ({ ...state, status: 'open' }));
    opened.onmessage = (event) => {
      const last = { type: event.type, data: JSON.parse(event.data), id: event.lastEventId };
      setState((state) => ({ ...state, last }));
      handlers.current.onEvent?.(last);
    };
    opened.onerror = (event) => {
      close();
      handlers.current.onError?.(event);
    };
    return close;
  }, [url, stopped, attempt, close]);

  return { ...state, close, restart: useCallback(() => setAttempt((attempt) => attempt + 1), []) };
}
