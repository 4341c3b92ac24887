import { useCallback, useEffect, useRef, useState } from 'react';

import { INITIAL, attach, close, restart } from '../event-stream.js';

/** Reads an event stream while the component is mounted and not `stopped`.
 *
 *  `types` are the event types besides `message`. `onEvent` gets every event: `last` is state, and React may render once
 *  for several events. `onGap` is called where continuity is broken: fetch the state again there.
 *  `withCredentials` has the browser send its cookies, which a route must allow to pages of another origin. */
export function useEventStream(url, { types = [], stopped = false, withCredentials = false, onEvent, onGap, onError } = {}) {
  const [state, setState] = useState(INITIAL);
  // The newest handlers. New handlers of a render do not reconnect.
  const handlers = useRef({});
  useEffect(() => { handlers.current = { onEvent, onGap, onError }; });

  const attached = useRef(null);
  const listed = types.join('\n');
  useEffect(() => {
    const reader = attach(url, listed ? listed.split('\n') : [], {
      changed: setState,
      event: (event) => handlers.current.onEvent?.(event),
      gap: (verdict) => handlers.current.onGap?.(verdict),
      error: (event) => handlers.current.onError?.(event),
    }, { withCredentials });
    attached.current = reader;
    return () => reader.detach();
  }, [url, listed, withCredentials]);
  useEffect(() => attached.current.setStopped(stopped), [url, listed, withCredentials, stopped]);

  return {
    ...state,
    close: useCallback(() => close(url, { withCredentials }), [url, withCredentials]),
    restart: useCallback(() => restart(url, { withCredentials }), [url, withCredentials]),
  };
}
