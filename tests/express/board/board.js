// The page of the notice board. All its addresses are relative: it does not know what stands in front of the application.

const byId = (id) => document.getElementById(id);

function add(list, text) {
  const item = document.createElement('li');
  item.textContent = text;
  byId(list).append(item);
}

const showNote = ({ by, text }) => add('notes', `${by}: ${text}`);

async function greet() {
  const response = await fetch('/api/me');
  if (!response.ok) return;
  const { name, secure, host } = await response.json();
  byId('greeting').textContent = `Hello ${name}, over ${secure ? 'TLS' : 'plain text'} at ${host}.`;
}

async function follow() {
  // Opened before the notes are read, so that none in between is lost.
  const source = new EventSource('/events/notes');
  await new Promise((opened) => source.addEventListener('open', opened, { once: true }));
  const notes = await (await fetch('/api/notes')).json();
  notes.forEach(showNote);
  const newest = notes.at(-1)?.id ?? 0;
  source.addEventListener('message', (event) => {
    const note = JSON.parse(event.data);
    if (note.id > newest) showNote(note);
  });
  document.body.dataset.following = 'yes';
}

byId('add').addEventListener('submit', async (event) => {
  event.preventDefault();
  const form = event.currentTarget;
  const text = new FormData(form).get('text');
  const headers = { 'Content-Type': 'application/json' };
  const response = await fetch('/api/notes', { method: 'POST', headers, body: JSON.stringify({ text }) });
  if (response.status === 201) form.reset();
});

const chat = new WebSocket(new URL('/chat', location.href.replace(/^http/, 'ws')));
chat.addEventListener('open', () => { byId('chat-state').textContent = 'open'; });
chat.addEventListener('close', () => { byId('chat-state').textContent = 'closed'; });
chat.addEventListener('message', (event) => add('chat', event.data));
byId('say').addEventListener('submit', (event) => {
  event.preventDefault();
  chat.send(new FormData(event.currentTarget).get('text'));
  event.currentTarget.reset();
});

byId('file').addEventListener('change', async () => {
  const [file] = byId('file').files;
  const url = `/api/files/${encodeURIComponent(file.name)}`;
  await fetch(url, { method: 'PUT', body: file });
  const [sent, received] = await Promise.all([file.arrayBuffer(), fetch(url).then((response) => response.arrayBuffer())]);
  const digest = async (bytes) => String(new Uint8Array(await crypto.subtle.digest('SHA-256', bytes)));
  const isSame = await digest(sent) === await digest(received);
  byId('file-state').textContent = `${received.byteLength} bytes came back, ${isSame ? 'the same' : 'others'}`;
});

greet();
follow();
