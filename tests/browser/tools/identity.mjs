// A certificate for the host names of these tests, generated for each run. The browser trusts only this one.

import { execFileSync } from 'node:child_process';
import { X509Certificate, createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const folders = [];
process.on('exit', () => { for (const path of folders) rmSync(path, { recursive: true, force: true }); });

/** A folder that is removed with the process. */
export function folder() {
  const path = mkdtempSync(join(tmpdir(), 'rillgate-browser-'));
  folders.push(path);
  return path;
}

/** Host names that the browser resolves to this machine (see browser.mjs). */
export const HOSTS = {
  events: 'events.example.test',
  app: 'app.example.test',
  sister: 'sister.example.test',
  foreign: 'elsewhere.test',
};

/** The common domain of the first three, for shared cookies. */
export const DOMAIN = 'example.test';

export class Identity {
  constructor() {
    this.folder = folder();
    this.chain = join(this.folder, 'chain.pem');
    this.key = join(this.folder, 'key.pem');
    const names = [...Object.values(HOSTS), 'localhost'].map((name) => `DNS:${name}`).join(',');
    execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes',
      '-keyout', this.key, '-out', this.chain, '-days', '2', '-subj', '/CN=rillgate tests',
      '-addext', `subjectAltName=${names},IP:127.0.0.1`], { stdio: 'pipe' });
    const key = new X509Certificate(readFileSync(this.chain)).publicKey.export({ type: 'spki', format: 'der' });
    /** The hash of the public key, in the form of Chromium's switch. */
    this.fingerprint = createHash('sha256').update(key).digest('base64');
    /** A shared secret for tokens. */
    this.secret = join(this.folder, 'secret');
    writeFileSync(this.secret, randomBytes(32));
  }
}
