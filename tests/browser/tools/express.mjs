// Runs an Express application of tests/express as a separate process.

import { join } from 'node:path';

import { Child } from './child.mjs';

/** Starts it for one test. `url` is its address. */
export async function startExpress(t, program = 'producer.mjs') {
  const child = new Child(process.execPath, [join(import.meta.dirname, '../../express', program)]);
  t.after(() => child.stop('SIGKILL'));
  const [, port] = await child.line(/^port=(\d+)$/);
  return { url: `http://127.0.0.1:${port}` };
}
