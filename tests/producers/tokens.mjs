// A language model's answer as a stream of tokens, as well-known APIs send it: no ids, an end mark, then the end.
//
//   node tokens.mjs HOST PORT

import { createServer } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

const tokens = ['Server', '-Sent', ' Events', ' are', ' lines', ' of', ' text', ',\n', 'nothing', ' more', ' – ', '✓'];

const server = createServer(async (request, response) => {
  if (!request.url.startsWith('/events')) return response.writeHead(404).end();
  response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-cache' });
  for (const token of tokens) {
    response.write(`data: ${JSON.stringify({ token })}\n\n`);
    await sleep(20);
  }
  response.end('data: [DONE]\n\n');
});

server.listen(Number(process.argv[3]), process.argv[2]);
