// Waits for conditions with a deadline, in place of fixed pauses.

import { setTimeout as sleep } from 'node:timers/promises';

/** The deadline in milliseconds for events that should be immediate, on a machine that may be busy. */
export const DEADLINE = 20_000;

/** Calls `ask` until it returns a true value, and returns that. Fails with the last value. */
export async function eventually(what, ask, deadline = DEADLINE) {
  const end = Date.now() + deadline;
  let answer;
  do {
    answer = await ask();
    if (answer) return answer;
    await sleep(20);
  } while (Date.now() < end);
  throw new Error(`not within ${deadline} ms: ${what}; the last answer was ${JSON.stringify(answer)}`);
}

/** Calls `ask` until it returns a value that equals `expected` as JSON. */
export async function becomes(expected, ask, deadline = DEADLINE) {
  let answer;
  const wanted = JSON.stringify(expected);
  await eventually(`becomes ${wanted}`, async () => JSON.stringify(answer = await ask()) === wanted, deadline)
    .catch(() => { throw new Error(`not within ${deadline} ms: ${wanted}; the last answer was ${JSON.stringify(answer)}`); });
}
