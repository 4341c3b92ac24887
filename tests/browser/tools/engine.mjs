// A nats-server that gateways share their streams through: what RILLGATE_NATS_SERVER names, or the one that tests/run installs.

import { existsSync } from 'node:fs';
import { createServer } from 'node:net';
import { join, resolve } from 'node:path';
import { once } from 'node:events';

import { Child } from './child.mjs';
import { folder } from './identity.mjs';

const PROGRAM = process.env.RILLGATE_NATS_SERVER ??
  resolve(import.meta.dirname, '../../../target/tools/nats-2.15.1/bin/nats-server');

export class Engine {
  static async start() {
    if (!existsSync(PROGRAM)) throw new Error(`there is no ${PROGRAM}: tests/run installs it`);
    const engine = new Engine();
    Object.assign(engine, { port: await freePort(), store: join(folder(), 'engine') });
    engine.url = `nats://127.0.0.1:${engine.port}`;
    await engine.start();
    return engine;
  }

  /** Starts it again with what it stored, on the same port. */
  async start() {
    this.child = new Child(PROGRAM, ['--addr', '127.0.0.1', '--port', String(this.port), '--jetstream', '--store_dir', this.store]);
    await this.child.line(/Server is ready/);
  }

  stop() { return this.child.stop('SIGKILL'); }
}

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}
