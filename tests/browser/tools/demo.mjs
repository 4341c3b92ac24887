// Runs `rillgate demo` as a process, with its page, producer and certificate.

import { Child } from './child.mjs';
import { BINARY } from './gateway.mjs';

export class Demo {
  static async start() {
    const demo = new Demo();
    demo.child = new Child(BINARY, ['demo', '--port', '0']);
    const [, port] = await demo.child.line(/listening address=127\.0\.0\.1:(\d+) tls=true/);
    demo.url = `https://localhost:${port}/`;
    return demo;
  }

  stop() { return this.child.stop('SIGKILL'); }
}
