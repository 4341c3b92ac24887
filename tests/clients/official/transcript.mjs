// The interface of the Node clients in this folder, as in transcript.py: `node CLIENT URL` prints the outcomes of its scenarios.

export const url = process.argv[2];

export const TOOL = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] };

/** Runs it. `run` is called with the list of what is seen, and returns more of the outcome. */
export async function scenario(name, run) {
  const seen = [];
  const outcome = { scenario: name, seen };
  try {
    Object.assign(outcome, await run(seen));
  } catch (error) {
    outcome.error = described(error);
  }
  process.stdout.write(`${JSON.stringify(outcome)}\n`);
}

export function described(error) {
  const { message, status, error: body, headers } = error;
  const field = (name) => (headers instanceof Headers ? headers.get(name)?.split(';')[0] : undefined);
  return {
    type: error.constructor.name, message, status, body, 'content-type': field('content-type'), 'retry-after': field('retry-after'),
  };
}

// It ends with a test that is killed.
process.stdin.on('end', () => process.exit(1)).resume();
process.stdin.unref();
