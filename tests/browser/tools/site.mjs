// Serves an application's pages on another origin than the gateway: Vite's build, an empty page at `/`, the application's
// API at `/state`, and `/login`.
//
// Listens with and without TLS, because a page that was loaded over TLS may not read from a plain listener.

import { createServer } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { extname, join, normalize } from 'node:path';

import { DOMAIN, HOSTS } from './identity.mjs';

const BUILT = join(import.meta.dirname, '../dist');
const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css' };
const STATE = JSON.stringify({ stands: 'so' });
const EMPTY = '<!doctype html><html lang="en"><link rel="icon" href="data:,"><title>empty</title>';

/** A cookie for all hosts of this site, with the page's token. */
const session = ({ headers }) =>
  `session=${headers.authorization.slice('Bearer '.length)}; Domain=${DOMAIN}; Path=/; Secure; HttpOnly; SameSite=Strict`;

async function answer(request, response) {
  const path = new URL(request.url, 'http://site').pathname;
  if (path === '/state') return response.writeHead(200, { 'Content-Type': 'application/json' }).end(STATE);
  if (path === '/') return response.writeHead(200, { 'Content-Type': 'text/html' }).end(EMPTY);
  if (path === '/login') return response.writeHead(204, { 'Set-Cookie': session(request) }).end();
  try {
    const content = await readFile(join(BUILT, normalize(path)));
    response.writeHead(200, { 'Content-Type': TYPES[extname(path)] ?? 'application/octet-stream' }).end(content);
  } catch {
    response.writeHead(404).end();
  }
}

export class Site {
  static async start(identity) {
    const site = new Site();
    site.secure = createSecureServer({ cert: readFileSync(identity.chain), key: readFileSync(identity.key) }, answer);
    site.plain = createServer(answer);
    for (const server of [site.secure, site.plain]) {
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
    }
    /** The origins of the application, of another host of its site, of another site, and of the application without TLS. */
    site.origin = `https://${HOSTS.app}:${site.secure.address().port}`;
    site.sisterOrigin = `https://${HOSTS.sister}:${site.secure.address().port}`;
    site.foreignOrigin = `https://${HOSTS.foreign}:${site.secure.address().port}`;
    site.plainOrigin = `http://${HOSTS.app}:${site.plain.address().port}`;
    return site;
  }

  stop() {
    for (const server of [this.secure, this.plain]) {
      server.closeAllConnections();
      server.close();
    }
  }
}
