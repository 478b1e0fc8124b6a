/** The receivers of the soak: one has bad days, the other must not notice. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { GapChecker } from './gap-checker.ts';

export const SINK_FAULTS = ['refuse', 'hang', '500', '429', 'reset mid-answer', 'slow'] as const;
export type SinkFault = (typeof SINK_FAULTS)[number];

interface Body {
  readonly organization_id: string;
  readonly events: readonly { readonly committed_at: string | null; readonly payload: { readonly number: number } }[];
}

const SLOW_MS = 700;

export class SoakReceiver implements AsyncDisposable {
  readonly checker: GapChecker;
  fault: SinkFault | null = null;
  requests = 0;
  /** From commit to first arrival, in milliseconds. */
  longestDelay = 0;
  private readonly server: Server;

  private constructor(name: string) {
    this.checker = new GapChecker(name);
    this.server = createServer((request, response) => {
      this.receive(request, response).catch(() => response.destroy());
    });
  }

  static async start(name: string): Promise<SoakReceiver> {
    const receiver = new SoakReceiver(name);
    receiver.server.listen(0, '127.0.0.1');
    await once(receiver.server, 'listening');
    return receiver;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}/`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.server, 'close');
    this.server.close();
    this.server.closeAllConnections();
    await closed;
  }

  private async receive(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.on('error', () => undefined);
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    this.requests += 1;
    switch (this.fault) {
      case 'refuse':
        return void response.socket?.resetAndDestroy();
      case 'hang':
        return;
      case '500':
        return void response.writeHead(500).end();
      case '429':
        return void response.writeHead(429, { 'retry-after': '1' }).end();
      case 'reset mid-answer':
        this.take(Buffer.concat(chunks));
        response.writeHead(200, { 'content-length': '100' });
        return void response.write('half', () => response.socket?.resetAndDestroy());
      case 'slow':
        this.take(Buffer.concat(chunks));
        setTimeout(() => response.writeHead(204).end(), SLOW_MS);
        return;
      case null:
        this.take(Buffer.concat(chunks));
        response.writeHead(204).end();
    }
  }

  private take(body: Buffer): void {
    const { organization_id: organization, events } = JSON.parse(body.toString()) as Body;
    const now = Date.now();
    for (const { committed_at: committedAt, payload } of events) {
      const isNew = this.checker.arrive(organization, payload.number);
      if (isNew && committedAt !== null) this.longestDelay = Math.max(this.longestDelay, now - Date.parse(committedAt));
    }
  }
}
