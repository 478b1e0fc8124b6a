/** Writers that go on over a restart of the server, each with organizations of its own, so that `seq` is the order of commits. */
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { poll } from '../support/slot-session.ts';
import type { Deployment } from './deployment.ts';

const WRITERS = 2;
const ORGANIZATIONS = 20;
const ROWS = 25;
/** Of what is written so much waits for its arrival at most, so that the writing goes on for as long as the delivering. */
const AHEAD = 3_000;

const INSERT = `
  INSERT INTO walpost.outbox (organization_id, event_type, payload)
  SELECT ($1::uuid[])[1 + n % array_length($1::uuid[], 1)], 'order.placed', jsonb_build_object('text', repeat('x', 200))
    FROM generate_series(1, ${ROWS}) AS n`;

export class Writers {
  /** Events whose transactions were told to be committed. */
  written = 0;
  /** Transactions whose fate the writer does not know. */
  unknown = 0;
  private readonly deployment: Deployment;
  private readonly total: number;

  constructor(deployment: Deployment, total: number) {
    this.deployment = deployment;
    this.total = total;
  }

  /** Resolves when that many are committed. */
  async write(): Promise<void> {
    await Promise.all(Array.from({ length: WRITERS }, () => this.writeShare(this.total / WRITERS)));
  }

  private async writeShare(count: number): Promise<void> {
    const organizations = Array.from({ length: ORGANIZATIONS / WRITERS }, () => randomUUID());
    let client = await this.deployment.connect();
    for (let written = 0; written < count;) {
      await this.deployment.arrivals.reach(this.written - AHEAD, 180_000);
      try {
        await client.query(INSERT, [organizations]);
        written += ROWS;
        this.written += ROWS;
      } catch {
        this.unknown += 1;
        await client.end().catch(() => undefined);
        client = await this.reconnect();
      }
    }
    await client.end();
  }

  private reconnect(): Promise<pg.Client> {
    return poll('the server takes connections again', () => this.deployment.connect().catch(() => undefined), 60_000);
  }
}
