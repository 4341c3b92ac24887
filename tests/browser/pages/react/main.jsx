// A page that reads a stream with a hook, shows what the hook says, and counts the readers that the test asks for.

import { useState } from 'react';
import { createRoot } from 'react-dom/client';

import { asked } from '../query.js';
import { Prices } from './Prices.jsx';
import { useEventSource } from './useEventSource.js';
import { useEventStream } from './useEventStream.js';

const useHook = { useEventSource, useEventStream }[asked.hook];

function Reader({ url }) {
  const [stopped, setStopped] = useState(false);
  const [received, setReceived] = useState([]);
  const [fetched, setFetched] = useState(null);

  const { status, last, close, restart } = useHook(url, {
    types: asked.types,
    stopped,
    withCredentials: asked.credentials,
    onEvent: (event) => setReceived((received) => [...received, event.data]),
    // After a gap the events alone no longer tell how things stand: the application's own interface does.
    onGap: () => fetch('/state').then((answer) => answer.json()).then(setFetched),
    onError: () => { if (asked.closesOnError) close(); },
  });

  return (
    <section>
      <output className="status">{status}</output>
      <output className="last">{JSON.stringify(last)}</output>
      <output className="received">{JSON.stringify(received)}</output>
      <output className="fetched">{JSON.stringify(fetched)}</output>
      <button onClick={close}>Close</button>
      <button onClick={restart}>Restart</button>
      <label><input type="checkbox" checked={stopped} onChange={() => setStopped(!stopped)} />Stop</label>
    </section>
  );
}

function App() {
  const [readers, setReaders] = useState(1);
  const [url, setUrl] = useState(asked.url);
  return (
    <main>
      <button onClick={() => setReaders(readers + 1)}>Add a reader</button>
      <button onClick={() => setReaders(0)}>Unmount</button>
      <label>URL <input value={url} onChange={(event) => setUrl(event.target.value)} /></label>
      {Array.from({ length: readers }, (_, index) => <Reader key={index} url={url} />)}
    </main>
  );
}

createRoot(document.getElementById('app')).render(asked.prices ? <Prices url={asked.url} stateUrl="/state" /> : <App />);
