// What every client here is told and tells. Each is a program
//
//   CLIENT URL BEARER_FILE|- TYPE...
//
// that subscribes to the URL as its library's documentation shows it, with the token that stands in the file at each
// connect, listens to the event types named if its library wants that, and prints one JSON object in a line for each
//
//   {"type": …, "data": …, "id": …}    event that its library dispatched
//   {"lost": "…"}                      response that ended, or connection that failed, before the next attempt
//   {"closed": 401}                    end for good, with the status if the library tells it, and then ends
//
// It ends when its standard input closes, so that it never outlives a test that was killed.

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
