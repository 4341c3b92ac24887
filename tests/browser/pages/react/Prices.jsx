import { useCallback, useEffect, useState } from 'react';

import { useEventStream } from './useEventStream.js';

export function Prices({ url, stateUrl }) {
  const [prices, setPrices] = useState({});
  const fetchAll = useCallback(async () => {
    const answer = await fetch(stateUrl);
    if (answer.ok) setPrices(await answer.json());
  }, [stateUrl]);

  useEffect(() => { fetchAll(); }, [fetchAll]);
  const { status, close, restart } = useEventStream(url, {
    types: ['price'],
    onEvent: ({ data }) => setPrices((prices) => ({ ...prices, [data.symbol]: data.price })),
    onGap: fetchAll,
  });

  return (
    <section>
      <ul>{Object.entries(prices).map(([symbol, price]) => <li key={symbol}>{symbol} {price}</li>)}</ul>
      {status === 'closed' || status === 'refused'
        ? <button onClick={restart}>Go on</button>
        : <button onClick={close}>Pause</button>}
    </section>
  );
}
