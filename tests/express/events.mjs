// Server-Sent Events from Express in a few lines: ids, types, JSON, `retry`, and resume.
//
//   node events.mjs HOST PORT

import express from 'express';

function event(number) {
  if (number === 1) {
    const data = JSON.stringify({ symbol: 'EURUSD', price: 1.0821, currency: '€' });
    return `: hello\nretry: 100\nid: 1\nevent: price\ndata: ${data}\n\n`;
  }
  if (number === 2) return 'id: 2\ndata: first line\ndata: second line\n\n';
  return `id: ${number}\nevent: tick\ndata: ${JSON.stringify({ number })}\n\n`;
}

const app = express();

app.get('/events', (request, response) => {
  let number = Number(request.get('Last-Event-ID') ?? 0);
  response.set({ 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-cache', Connection: 'keep-alive' });
  response.flushHeaders();
  const timer = setInterval(() => {
    number += 1;
    response.write(event(number));
  }, 50);
  request.on('close', () => clearInterval(timer));
});

app.listen(Number(process.argv[3]), process.argv[2]);
