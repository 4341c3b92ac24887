// The interface of the clients in this folder. Each is a program
//
//   CLIENT URL BEARER_FILE|- TYPE...
//
// that subscribes to the URL as its library's documentation shows. At each connect it reads the token from the file. It
// listens to the named event types if its library needs them, and prints one JSON object per line for each
//
//   {"type": …, "data": …, "id": …}    event that its library dispatched
//   {"lost": "…"}                      response that ended, or connection that failed, before the next attempt
//   {"closed": 401}                    end for good, with the status if the library tells it, and then ends
//
// It ends when its standard input closes, so it ends with a test that is killed.

import { readFileSync } from 'node:fs';

export const [url, bearer, ...types] = process.argv.slice(2);

export function authorization() {
  return bearer === '-' ? {} : { authorization: `Bearer ${readFileSync(bearer, 'utf8').trim()}` };
}

export function report(what) {
  process.stdout.write(`${JSON.stringify(what)}\n`);
}

export function closed(status) {
  process.stdout.write(`${JSON.stringify({ closed: status ?? null })}\n`, () => process.exit(0));
}

process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
