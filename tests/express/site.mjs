// A web application with Express, for the tests of forwarding.
//
//   ANY  /echo…             what arrived, as JSON: method, url, headers, trailers, and the body's length and SHA-256
//   GET  /bytes/:count      so many bytes
//   GET  /cut               the beginning of a body; then the connection is reset
//   GET  /stall             the beginning of a body; then nothing
//   ANY  /silent            no answer
//   GET  /trailers          a body in chunks with the trailer x-sum
//   GET  /hints             103 with a Link, then 200
//   POST /slow              a body that is read at 1 MiB a second
//   GET  /stats             connections ever accepted, requests, and bytes of bodies
//   GET  /events            three events
//   upgrade: websocket      frames come back as they were sent
//   upgrade: echo           bytes come back as they were sent
//
// The system chooses the port, which is printed as `port=12345`. The program ends when its standard input closes.

import { createHash } from 'node:crypto';
import http from 'node:http';
import express from 'express';

const app = express();
const stats = { connections: 0, requests: 0, bytes: 0, upgrades: 0, targets: [] };
app.disable('x-powered-by');
app.use((request, _response, next) => {
  stats.requests += 1;
  stats.targets.push(`${request.method} ${request.originalUrl}`);
  next();
});

app.get('/stats', (_request, response) => response.json(stats));
app.get('/bytes/:count', (request, response) => {
  let left = Number(request.params.count);
  const piece = Buffer.alloc(64 * 1024, 'x');
  response.setHeader('content-length', left);
  const write = () => {
    while (left > 0) {
      const size = Math.min(left, piece.length);
      left -= size;
      if (!response.write(piece.subarray(0, size)) && left > 0) return response.once('drain', write);
    }
    response.end();
  };
  write();
});
app.get('/cut', (_request, response) => {
  response.write('the beginning', () => setTimeout(() => response.socket.resetAndDestroy(), 50));
});
app.get('/stall', (_request, response) => response.write('the beginning'));
app.all('/silent', () => {});
app.get('/trailers', (_request, response) => {
  response.setHeader('trailer', 'x-sum');
  response.write('body');
  response.addTrailers({ 'x-sum': '4' });
  response.end();
});
app.get('/hints', (_request, response) => {
  response.writeEarlyHints({ link: '</style.css>; rel=preload' });
  response.end('hinted');
});
app.post('/slow', async (request, response) => {
  let length = 0;
  for await (const chunk of request) {
    length += chunk.length;
    await new Promise((resolve) => setTimeout(resolve, chunk.length / 1048.576));
  }
  response.json({ length });
});
app.get('/events', (_request, response) => {
  response.setHeader('content-type', 'text/event-stream');
  for (const id of [1, 2, 3]) response.write(`id: ${id}\ndata: ${id}\n\n`);
  response.end();
});
app.use(async (request, response) => {
  const hash = createHash('sha256');
  let length = 0;
  try {
    for await (const chunk of request) {
      length += chunk.length;
      stats.bytes += chunk.length;
      hash.update(chunk);
    }
  } catch {
    return;
  }
  response.set('x-status', 'echoed');
  response.append('set-cookie', ['a=1', 'b=2']);
  response.status(Number(request.query.status ?? 200)).json({
    method: request.method,
    url: request.originalUrl,
    headers: request.headers,
    trailers: request.trailers,
    length,
    sha256: hash.digest('hex'),
  });
});

const server = http.createServer(app);
server.on('connection', () => { stats.connections += 1; });
server.on('upgrade', (request, socket, head) => {
  stats.upgrades += 1;
  stats.targets.push(`${request.method} ${request.url}`);
  const protocol = request.headers.upgrade.toLowerCase();
  if (request.url.startsWith('/refused') || (protocol !== 'websocket' && protocol !== 'echo')) {
    socket.end('HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno');
    return;
  }
  socket.on('error', () => socket.destroy());
  const fields = [`upgrade: ${protocol}`, 'connection: upgrade'];
  if (protocol === 'websocket') {
    const key = request.headers['sec-websocket-key'];
    const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
    fields.push(`sec-websocket-accept: ${accept}`);
  }
  socket.write(`HTTP/1.1 101 Switching Protocols\r\n${fields.join('\r\n')}\r\n\r\n`);
  if (protocol === 'echo') {
    socket.write(head);
    socket.pipe(socket);
  } else {
    websocket(socket, head);
  }
});

// Sends each frame back without its mask (RFC 6455, 5.2).
function websocket(socket, head) {
  let received = head;
  const read = (chunk) => {
    received = Buffer.concat([received, chunk]);
    for (;;) {
      if (received.length < 2) return;
      let length = received[1] & 127;
      let at = 2;
      if (length === 126) {
        if (received.length < 4) return;
        length = received.readUInt16BE(2);
        at = 4;
      } else if (length === 127) {
        if (received.length < 10) return;
        length = Number(received.readBigUInt64BE(2));
        at = 10;
      }
      if (received.length < at + 4 + length) return;
      const mask = received.subarray(at, at + 4);
      const payload = Buffer.from(received.subarray(at + 4, at + 4 + length));
      for (let index = 0; index < payload.length; index += 1) payload[index] ^= mask[index % 4];
      const opening = Buffer.from(received.subarray(0, at));
      opening[1] &= 127;
      socket.write(Buffer.concat([opening, payload]));
      if ((received[0] & 15) === 8) socket.end();
      received = received.subarray(at + 4 + length);
    }
  };
  socket.on('data', read);
  read(Buffer.alloc(0));
}

server.listen(0, '127.0.0.1', () => console.log(`port=${server.address().port}`));
process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
