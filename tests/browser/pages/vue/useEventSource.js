import { onUnmounted, shallowRef, toValue, watch } from 'vue';

/** A common form of such a composable: the last message as state, closed on the first
 *  error. It listens to `message` only, so it misses typed events. Its `restart` opens the bare URL, which starts at the
 *  route's `replay.start` and not after the last event. */
export function useEventSource(url, { stopped = false, onEvent, onError } = {}) {
  const state = shallowRef({ status: 'closed', last: null });
  let source = null;

  function close() {
    source?.close();
    state.value = { ...state.value, status: 'closed' };
  }

  function restart() {
    close();
    source = new EventSource(toValue(url));
    source.onopen = () => { state.value = { ...state.value, status: 'open' }; };
    source.onmessage = (event) => {
      const last = { type: event.type, data: JSON.parse(event.data), id: event.lastEventId };
      state.value = { ...state.value, last };
      onEvent?.(last);
    };
    source.onerror = (event) => {
      close();
      onError?.(event);
    };
  }

  watch([() => toValue(url), () => toValue(stopped)], () => (toValue(stopped) ? close() : restart()), { immediate: true });
  onUnmounted(close);

  return { state, close, restart };
}
