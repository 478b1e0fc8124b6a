import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Answer {
  readonly status: number;
  /** Sent as JSON. */
  readonly body?: object;
}

/** An HTTP server on loopback that hands over whole requests. A handler that throws cuts the connection. */
export class LoopbackServer {
  private readonly server: Server;

  constructor(handle: (request: IncomingMessage, body: Buffer) => Answer) {
    this.server = createServer((request, response) => {
      const serve = async (): Promise<void> => {
        const chunks: Buffer[] = [];
        for await (const chunk of request) chunks.push(chunk as Buffer);
        const { status, body } = handle(request, Buffer.concat(chunks));
        response.writeHead(status, body && { 'content-type': 'application/json' });
        response.end(body && JSON.stringify(body));
      };
      serve().catch(() => response.destroy());
    });
  }

  /** Starts, and returns its origin. */
  async listen(): Promise<string> {
    this.server.listen(0, '127.0.0.1');
    await once(this.server, 'listening');
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    if (!this.server.listening) return;
    const closed = once(this.server, 'close');
    this.server.close();
    this.server.closeAllConnections();
    await closed;
  }
}
