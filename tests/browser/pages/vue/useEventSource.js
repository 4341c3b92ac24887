import { onUnmounted, shallowRef, toValue, watch } from 'vue';

/** The composable that many applications have written for themselves: the last message as state, closed on the first
 *  error. It hears `message` alone, so that typed events never reach it; its `restart` opens the bare URL, which starts
 *  where the gateway's route says (`replay.start`) and not after the last event that was seen. */
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
