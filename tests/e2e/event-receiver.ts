/** A receiver of webhooks that keeps the events in the order of their arrival, and can do something first. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { parseLsn } from '../../src/lsn.ts';

export interface ReceivedEvent {
  readonly event_id: string;
  readonly organization_id: string;
  readonly event_type: string;
  readonly entity_id: string | null;
  readonly payload: unknown;
  readonly lsn: string | null;
  readonly ordinal: number | null;
}

export interface ReceivedBatch {
  readonly organization_id: string;
  readonly attempt: number;
  readonly events: readonly ReceivedEvent[];
}

/** Called before the answer; the status it returns is the answer, 204 by default. */
export type OnBatch = (batch: ReceivedBatch, body: Buffer) => Promise<number | void> | number | void;

export class EventReceiver implements AsyncDisposable {
  /** Events received so far, repeated ones too. */
  count = 0;
  /** Requests that have come in, answered or not. */
  requests = 0;
  batches = 0;
  /** The end of what has arrived, by commit. */
  lastCommit = 0n;
  onBatch: OnBatch;
  readonly #server = createServer((request, response) => void this.#receive(request, response));
  #waiting: (() => void)[] = [];

  private constructor(onBatch: OnBatch) {
    this.onBatch = onBatch;
    this.#server.keepAliveTimeout = 60_000;
  }

  static async start(onBatch: OnBatch = () => undefined): Promise<EventReceiver> {
    const receiver = new EventReceiver(onBatch);
    receiver.#server.listen(0, '127.0.0.1');
    await once(receiver.#server, 'listening');
    return receiver;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** The sink's configuration. */
  sink(more: object = {}): object {
    return { type: 'webhook', url: `http://127.0.0.1:${this.port}/`, allow_private: true, ...more };
  }

  /** Resolves when that many events have arrived. */
  async received(count: number, timeout = 60_000): Promise<void> {
    const deadline = performance.now() + timeout;
    while (this.count < count) {
      const left = deadline - performance.now();
      if (left <= 0) throw new Error(`${this.count} of ${count} events arrived in ${timeout} ms`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#waiting.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  async #receive(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.on('error', () => undefined);
    try {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk as Buffer);
      const body = Buffer.concat(chunks);
      const batch = JSON.parse(body.toString()) as ReceivedBatch;
      this.requests += 1;
      const status = (await this.onBatch(batch, body)) ?? 204;
      if (status < 300) this.#keep(batch);
      response.writeHead(status).end();
    } catch {
      response.destroy();
    }
    for (const wake of this.#waiting.splice(0)) wake();
  }

  #keep({ events }: ReceivedBatch): void {
    this.batches += 1;
    this.count += events.length;
    for (const { lsn } of events) {
      const commit = parseLsn(lsn ?? '0/0') ?? 0n;
      if (commit > this.lastCommit) this.lastCommit = commit;
    }
  }
}
