// The core of useEventStream in React and Vue: one connection for each URL, with or without cookies, for all components of a
// page.
//
// The browser's EventSource reconnects by itself and then names the last event that it saw, but a closed one forgets it.
// This keeps the id, also across `close` and `restart`, and gives it to the gateway in the parameter `last_event_id`.
// The gateway's event `rillgate.resume` (route setting `verdict = "event"`) says how each connection began; it also
// carries the id in force, so that a page which lost its connection before the first event resumes too.

const streams = new Map();

/** The state of a stream that has not been read yet. */
export const INITIAL = Object.freeze({ status: 'closed', last: null });

const keyOf = (url, withCredentials) => `${withCredentials} ${url}`;

/** Prepares to read `url`, with the browser's cookies for it if `withCredentials` (which the route must allow to pages of
 *  another origin: `cors.credentials`). A reader has any of the functions `changed(state)`, `event(event)`,
 *  `gap({ reason })` and `error(event)`. It is stopped at first: `setStopped(false)` begins, `detach()` is for ever. */
export function attach(url, types, reader, { withCredentials = false } = {}) {
  const key = keyOf(url, withCredentials);
  const stream = streams.get(key) ?? new EventStream(url, withCredentials);
  streams.set(key, stream);
  stream.add(reader, types);
  return {
    setStopped: (stopped) => stream.setStopped(reader, stopped),
    detach: () => {
      stream.setStopped(reader, true);
      stream.readers.delete(reader);
      if (stream.readers.size === 0 && streams.get(key) === stream) streams.delete(key);
    },
  };
}

/** Ends the connection for every reader of the URL. Its state stays. */
export function close(url, { withCredentials = false } = {}) { streams.get(keyOf(url, withCredentials))?.close(); }

/** Connects again and continues after the last event. */
export function restart(url, { withCredentials = false } = {}) { streams.get(keyOf(url, withCredentials))?.restart(); }

class EventStream {
  constructor(url, withCredentials) {
    this.url = url;
    this.withCredentials = withCredentials;
    this.state = INITIAL;
    this.lastEventId = '';
    this.source = null;
    this.types = new Set(['message']);
    this.readers = new Set();
    this.active = new Set();
    this.receive = ({ type, data, lastEventId }) => {
      this.lastEventId = lastEventId;
      const last = { type, data: JSON.parse(data), id: lastEventId };
      this.change({ last });
      this.tell('event', last);
    };
  }

  add(reader, types) {
    this.readers.add(reader);
    for (const type of types.filter((type) => !this.types.has(type))) {
      this.types.add(type);
      this.source?.addEventListener(type, this.receive);
    }
  }

  setStopped(reader, stopped) {
    if (stopped === !this.active.has(reader)) return;
    if (stopped) {
      this.active.delete(reader);
      reader.changed?.({ ...this.state, status: 'closed' });
      if (this.active.size === 0) this.close();
    } else {
      this.active.add(reader);
      reader.changed?.(this.state);
      if (this.active.size === 1) this.restart();
    }
  }

  close() {
    this.source?.close();
    this.source = null;
    this.change({ status: 'closed' });
  }

  restart() {
    this.source?.close();
    const url = new URL(this.url, document.baseURI);
    if (this.lastEventId) url.searchParams.set('last_event_id', this.lastEventId);
    const source = new EventSource(url, { withCredentials: this.withCredentials });
    this.source = source;
    this.change({ status: 'connecting' });
    source.addEventListener('open', () => this.change({ status: 'open' }));
    source.addEventListener('error', (event) => {
      // CONNECTING: the browser reconnects by itself. CLOSED: it was refused and does not reconnect.
      this.change({ status: source.readyState === EventSource.CLOSED ? 'refused' : 'connecting' });
      this.tell('error', event);
    });
    source.addEventListener('rillgate.resume', (event) => {
      this.lastEventId = event.lastEventId;
      const verdict = JSON.parse(event.data);
      if (verdict.resume === 'gap') this.tell('gap', verdict);
    });
    for (const type of this.types) source.addEventListener(type, this.receive);
  }

  change(part) {
    this.state = { ...this.state, ...part };
    this.tell('changed', this.state);
  }

  tell(what, value) {
    for (const reader of [...this.active]) reader[what]?.(value);
  }
}
