import { onScopeDispose, shallowRef, toValue, watch } from 'vue';

import { INITIAL, attach, close, restart } from '../event-stream.js';

/** Reads an event stream while the component is mounted and not `stopped`. `url` and `stopped` may be refs.
 *
 *  `types` are the event types besides `message`. `onEvent` gets every event: `state.last` is state, and watchers may run
 *  once for several events. `onGap` is called where continuity is broken: fetch the state again there.
 *  `withCredentials` has the browser send its cookies, which a route must allow to pages of another origin. */
export function useEventStream(url, { types = [], stopped = false, withCredentials = false, onEvent, onGap, onError } = {}) {
  const state = shallowRef(INITIAL);
  const reader = { changed: (changed) => { state.value = changed; }, event: onEvent, gap: onGap, error: onError };
  let attached = null;

  watch(() => toValue(url), (url) => {
    attached?.detach();
    attached = attach(url, types, reader, { withCredentials });
    attached.setStopped(toValue(stopped));
  }, { immediate: true });
  watch(() => toValue(stopped), (stopped) => attached.setStopped(stopped));
  onScopeDispose(() => attached.detach());

  return {
    state,
    close: () => close(toValue(url), { withCredentials }),
    restart: () => restart(toValue(url), { withCredentials }),
  };
}
