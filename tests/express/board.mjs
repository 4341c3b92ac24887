// A notice board as teams write one with Express: pages, a login with a cookie, a JSON API, files, a WebSocket and an event
// stream, all on one port. It knows of the gateway only that a proxy is in front of it.
//
//   GET  /                    the page of `board/`
//   POST /login               a form; sets a cookie and goes back to the page
//   GET  /api/me              {"name":…}, or 401
//   GET  /api/notes           all notes; POST adds one, 201
//   PUT  /api/files/:name     a file; GET returns it
//   GET  /events/notes        a note as an event, when there is one; resumes after Last-Event-ID
//   WS   /chat                what one says, all hear
//   GET  /stats               event streams and sockets ever opened
//
// The system chooses the port, which is printed as `port=12345`. The program ends when its standard input closes.

import { randomUUID } from 'node:crypto';
import { EventEmitter } from 'node:events';
import { createServer } from 'node:http';
import { join } from 'node:path';
import express from 'express';
import { WebSocketServer } from 'ws';

const sessions = new Map();
const notes = [];
const files = new Map();
const published = new EventEmitter();
const stats = { streams: 0, sockets: 0 };

function visitor(request) {
  const session = request.headers.cookie?.match(/(?:^|; )session=([^;]+)/)?.[1];
  return sessions.get(session);
}

const app = express();
app.disable('x-powered-by');
// So that `request.secure` and `request.ip` are those of the browser.
app.set('trust proxy', 'loopback');
app.use(express.static(join(import.meta.dirname, 'board')));
app.use(express.json(), express.urlencoded({ extended: false }));

app.post('/login', (request, response) => {
  const session = randomUUID();
  sessions.set(session, { name: request.body.name });
  response.cookie('session', session, { httpOnly: true, sameSite: 'lax', secure: request.secure });
  response.redirect(303, '/');
});

app.get('/api/me', (request, response) => {
  const known = visitor(request);
  if (!known) return response.status(401).json({ error: 'log in first' });
  response.json({ name: known.name, secure: request.secure, host: request.host });
});

app.get('/api/notes', (_request, response) => response.json(notes));
app.post('/api/notes', (request, response) => {
  const note = { id: notes.length + 1, text: request.body.text, by: visitor(request)?.name ?? 'somebody' };
  notes.push(note);
  published.emit('note', note);
  response.status(201).location(`/api/notes/${note.id}`).json(note);
});

app.put('/api/files/:name', express.raw({ type: '*/*', limit: '16mb' }), (request, response) => {
  files.set(request.params.name, request.body);
  response.sendStatus(204);
});
app.get('/api/files/:name', (request, response) => {
  const file = files.get(request.params.name);
  if (!file) return response.sendStatus(404);
  response.type('application/octet-stream').send(file);
});

app.get('/events/notes', (request, response) => {
  stats.streams += 1;
  response.set({ 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-cache' }).flushHeaders();
  const write = (note) => response.write(`id: ${note.id}\ndata: ${JSON.stringify(note)}\n\n`);
  const seen = Number(request.get('Last-Event-ID') ?? notes.length);
  for (const note of notes.slice(seen)) write(note);
  published.on('note', write);
  response.on('close', () => published.off('note', write));
});

app.get('/stats', (_request, response) => response.json(stats));

const server = createServer(app);
const sockets = new WebSocketServer({ server, path: '/chat' });
sockets.on('connection', (socket, request) => {
  stats.sockets += 1;
  const name = visitor(request)?.name ?? 'somebody';
  socket.on('message', (text) => {
    for (const other of sockets.clients) other.send(`${name}: ${text}`);
  });
});

server.listen(0, '127.0.0.1', () => console.log(`port=${server.address().port}`));
process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
