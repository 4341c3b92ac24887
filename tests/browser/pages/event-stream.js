// One connection for each URL, however many components of a page read it: the core of useEventStream in React and Vue.
//
// The browser's EventSource reconnects by itself and then names the last event that it saw, but a closed one forgets it.
// This keeps the id, also across `close` and `restart`, and gives it to the gateway in the parameter `last_event_id`.
// The gateway's event `rillgate.resume` (route setting `verdict = "event"`) says how each connection began; it also
// carries the id in force, so that a page which lost its connection before the first event resumes too.

const streams = new Map();

/** The state of a stream that nobody has read yet. */
export const INITIAL = Object.freeze({ status: 'closed', last: null });

/** Prepares to read `url`. A reader has any of the functions `changed(state)`, `event(event)`, `gap({ reason })` and
 *  `error(event)`. It is stopped at first: `setStopped(false)` begins, `detach()` is for ever. */
export function attach(url, types, reader) {
  const stream = streams.get(url) ?? new EventStream(url);
  streams.set(url, stream);
  stream.add(reader, types);
  return {
    setStopped: (stopped) => stream.setStopped(reader, stopped),
    detach: () => {
      stream.setStopped(reader, true);
      stream.readers.delete(reader);
      if (stream.readers.size === 0 && streams.get(url) === stream) streams.delete(url);
    },
  };
}

/** Ends the connection for every reader of the URL; what was read stays. */
export function close(url) { streams.get(url)?.close(); }

/** Connects again and goes on after the last event that was seen. */
export function restart(url) { streams.get(url)?.restart(); }

class EventStream {
  constructor(url) {
    this.url = url;
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
    const source = new EventSource(url, { withCredentials: true });
    this.source = source;
    this.change({ status: 'connecting' });
    source.addEventListener('open', () => this.change({ status: 'open' }));
    source.addEventListener('error', (event) => {
      // CONNECTING: the browser comes back by itself. CLOSED: it was refused, and will not.
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
