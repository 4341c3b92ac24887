// The gateway under test: the real binary with a TLS listener, a plain listener and an admin port. Each has a free port that
// stays the same after a restart.

import { execFileSync } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout } from 'node:timers/promises';

import { Child } from './child.mjs';
import { HOSTS, folder } from './identity.mjs';

export const BINARY = process.env.RILLGATE_BIN ?? resolve(import.meta.dirname, '../../../target/debug/rillgate');

const ISSUER = 'https://issuer.example.test/';
const AUDIENCE = 'rillgate-tests';

export class Gateway {
  ports = { public: 0, plain: 0, admin: 0 };
  children = [];

  /** `tables` is the configuration without listeners, admin port and the issuer `tests`. */
  static async start(identity, tables) {
    const gateway = new Gateway();
    Object.assign(gateway, { identity, tables, file: join(folder(), 'rillgate.toml') });
    await gateway.start();
    return gateway;
  }

  /** Starts it. Ports that it had before may belong to a connection meanwhile, for which this waits. */
  async start() {
    for (const deadline = Date.now() + 10_000; ;) {
      try {
        return await this.launch();
      } catch (error) {
        if (!error.message.includes('Address already in use') || Date.now() > deadline) throw error;
        this.children.pop();
        await setTimeout(250);
      }
    }
  }

  async launch() {
    if (!existsSync(BINARY)) throw new Error(`there is no ${BINARY}: cargo build`);
    const { chain, key, secret } = this.identity;
    writeFileSync(this.file, `
      ${this.tables}
      [issuers.tests]
      issuer = "${ISSUER}"
      audience = ["${AUDIENCE}"]
      keys = [{ secret = { file = "${secret}" }, algorithm = "HS256" }]
      leeway = "0s"
      [[listeners]]
      name = "public"
      address = "127.0.0.1:${this.ports.public}"
      tls = { certificates = [{ chain = "${chain}", key = "${key}" }] }
      [[listeners]]
      name = "plain"
      address = "127.0.0.1:${this.ports.plain}"
      [admin]
      address = "127.0.0.1:${this.ports.admin}"
    `);
    this.child = new Child(BINARY, ['serve', '--config', this.file]);
    this.children.push(this.child);
    const port = async (pattern) => Number((await this.child.line(pattern))[1]);
    this.ports = {
      public: await port(/listening address=127\.0\.0\.1:(\d+) tls=true/),
      plain: await port(/listening address=127\.0\.0\.1:(\d+) tls=false$/),
      admin: await port(/listening address=127\.0\.0\.1:(\d+) tls=false admin=true/),
    };
  }

  /** Its origin. */
  get origin() { return `https://${HOSTS.events}:${this.ports.public}`; }

  /** Its origin without TLS, which browsers use with HTTP/1.1. */
  get plainOrigin() { return `http://${HOSTS.events}:${this.ports.plain}`; }

  /** Stops it with SIGTERM and starts it again on the same ports. */
  async restart(signal = 'SIGTERM') {
    await this.stop(signal);
    await this.start();
  }

  stop(signal) { return this.child.stop(signal); }

  /** The log lines of this process and its predecessors. */
  log() { return this.children.flatMap((child) => child.lines); }

  /** Returns the sum of all samples of a metric whose labels include these. */
  async metric(name, labels = {}) {
    const text = await (await fetch(`http://127.0.0.1:${this.ports.admin}/metrics`)).text();
    const wanted = Object.entries(labels).map(([label, value]) => `${label}="${value}"`);
    return text.split('\n')
      .filter((line) => line.startsWith(`rillgate_${name}{`) || line.startsWith(`rillgate_${name} `))
      .filter((line) => wanted.every((label) => line.includes(label)))
      .reduce((sum, line) => sum + Number(line.split(' ').pop()), 0);
  }

  /** Returns the open streams from the admin port. */
  async streams() {
    return (await fetch(`http://127.0.0.1:${this.ports.admin}/streams`)).json();
  }

  /** Returns a token of the issuer `tests`, made by the gateway's command. */
  token({ ttl = '1h', claims = {} } = {}) {
    const given = Object.entries(claims).flatMap(([name, value]) => ['--claim', `${name}=${JSON.stringify(value)}`]);
    return execFileSync(BINARY, ['token', '--key', this.identity.secret, '--issuer', ISSUER, '--audience', AUDIENCE,
      '--subject', 'reader', '--ttl', ttl, ...given], { encoding: 'utf8' }).trim();
  }
}
