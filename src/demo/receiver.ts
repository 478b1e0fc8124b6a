import { createHmac, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Clock } from '../clock.ts';
import type { Arrival } from './audit.ts';
import type { DemoRecord } from './demo-record.ts';
import { type Answer, LoopbackServer } from './loopback-server.ts';

export interface ReceiverOptions {
  readonly record: DemoRecord;
  readonly clock: Clock;
  /** `whsec_` and base64. */
  readonly secret: string;
  /** Called between a delivery and the record, so that a test can inject faults that the audit must find. */
  readonly tamper?: (batch: readonly Arrival[]) => readonly Arrival[];
}

interface DeliveredEvent {
  readonly event_id: string;
  readonly organization_id: string;
  readonly committed_at: string;
  readonly payload: { readonly number: number };
}

/** A webhook receiver on loopback that accepts only signed requests. */
export class Receiver {
  private readonly options: ReceiverOptions;
  private readonly key: Buffer;
  private readonly server: LoopbackServer;

  constructor(options: ReceiverOptions) {
    this.options = options;
    this.key = Buffer.from(options.secret.replace(/^whsec_/, ''), 'base64');
    this.server = new LoopbackServer((request, body) => this.receive(request, body));
  }

  /** Starts, and returns the URL. */
  async listen(): Promise<string> {
    return `${await this.server.listen()}/orders`;
  }

  async close(): Promise<void> {
    await this.server.close();
  }

  private receive(request: IncomingMessage, body: Buffer): Answer {
    const { record, clock, tamper } = this.options;
    if (!this.isSigned(request, body)) {
      record.refused += 1;
      return { status: 401 };
    }
    const { events } = JSON.parse(body.toString('utf8')) as { events: DeliveredEvent[] };
    const now = clock.wallTime();
    const arrivals = events.map((event) => ({
      eventId: event.event_id,
      organizationId: event.organization_id,
      number: event.payload.number,
    }));
    const latencies = events.map((event) => Math.max(0, now - Date.parse(event.committed_at)));
    record.received(tamper ? tamper(arrivals) : arrivals, latencies, now);
    return { status: 204 };
  }

  /** https://www.standardwebhooks.com/: HMAC-SHA256 over id, timestamp and body; one of the signatures must be ours. */
  private isSigned(request: IncomingMessage, body: Buffer): boolean {
    const header = (name: string): string => String(request.headers[name] ?? '');
    const timestamp = header('webhook-timestamp');
    if (Math.abs(this.options.clock.wallTime() / 1000 - Number(timestamp)) > 300) return false;
    const signed = Buffer.concat([Buffer.from(`${header('webhook-id')}.${timestamp}.`), body]);
    const expected = createHmac('sha256', this.key).update(signed).digest();
    return header('webhook-signature')
      .split(' ')
      .some((signature) => {
        const given = Buffer.from(signature.replace(/^v1,/, ''), 'base64');
        return given.length === expected.length && timingSafeEqual(given, expected);
      });
  }
}
