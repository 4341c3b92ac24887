// Waiting for facts, with a deadline: the tests never sleep for luck.

import { setTimeout as sleep } from 'node:timers/promises';

/** Milliseconds for what should happen at once, on a machine that may be busy. */
export const DEADLINE = 20_000;

/** Asks until `ask` returns something true, and returns it; fails with what was returned last. */
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

/** Asks until `ask` returns something equal to `expected` (compared as JSON). */
export async function becomes(expected, ask, deadline = DEADLINE) {
  let answer;
  const wanted = JSON.stringify(expected);
  await eventually(`becomes ${wanted}`, async () => JSON.stringify(answer = await ask()) === wanted, deadline)
    .catch(() => { throw new Error(`not within ${deadline} ms: ${wanted}; the last answer was ${JSON.stringify(answer)}`); });
}
