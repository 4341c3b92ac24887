// A TCP relay that can cut its connections, as a lost network or a restarted load balancer does.

import { connect, createServer } from 'node:net';
import { once } from 'node:events';

export class Relay {
  static async start(port) {
    const relay = new Relay();
    relay.sockets = new Set();
    relay.server = createServer((inner) => {
      const outer = connect(port, '127.0.0.1');
      for (const [socket, other] of [[inner, outer], [outer, inner]]) {
        relay.sockets.add(socket);
        socket.pipe(other);
        socket.on('error', () => {});
        socket.on('close', () => { relay.sockets.delete(socket); other.destroy(); });
      }
    }).listen(0, '127.0.0.1');
    await once(relay.server, 'listening');
    relay.port = relay.server.address().port;
    return relay;
  }

  /** Resets every TCP connection. */
  cut() { for (const socket of this.sockets) socket.resetAndDestroy(); }

  stop() {
    this.cut();
    this.server.close();
  }
}
