import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { pause, systemClock } from '../../src/clock.ts';
import type { Random } from '../../src/demo/transaction-plan.ts';
import { newClient } from '../support/client.ts';

export interface SoakWriterOptions {
  readonly url: string;
  /** Written by this writer alone, so that its numbers are their commit order. */
  readonly organizations: readonly string[];
  /** Committed events a second. */
  readonly rate: number;
  readonly random: Random;
}

interface Row {
  readonly eventId: string;
  readonly organization: string;
  readonly number: number;
}

const PUBLISH = `
  INSERT INTO walpost.outbox (event_id, organization_id, event_type, topic, payload)
  SELECT e.id, e.organization, 'soak.counted', 'soak', jsonb_build_object('number', e.number, 'fill', repeat('x', $4))
    FROM unnest($1::uuid[], $2::uuid[], $3::int[]) WITH ORDINALITY AS e (id, organization, number, place) ORDER BY e.place`;
const FOUND = 'SELECT event_id::text AS id FROM walpost.outbox WHERE event_id = ANY ($1::uuid[])';

const AGAIN_MS = 100;

/** One connection of an application: transactions of every size, some long, some rolled back, through server restarts. */
export class SoakWriter {
  readonly committed = new Map<string, Set<number>>();
  events = 0;
  transactions = 0;
  rolledBack = 0;
  long = 0;
  /** Commits that were not answered, looked up afterwards. */
  inDoubt = 0;
  private readonly options: SoakWriterOptions;
  private readonly numbers = new Map<string, number>();
  private client: pg.Client | undefined;

  constructor(options: SoakWriterOptions) {
    this.options = options;
    for (const id of options.organizations) this.committed.set(id, new Set());
  }

  async run(signal: AbortSignal): Promise<void> {
    const { rate } = this.options;
    let due = systemClock.now();
    while (!signal.aborted) {
      const count = await this.transact(this.sizeOfNext(), signal);
      due = Math.max(due + (count * 1000) / rate, systemClock.now() - 1_000);
      await pause(systemClock, Math.max(0, due - systemClock.now()), signal);
    }
  }

  /** One last event for each organization. */
  async close(signal: AbortSignal): Promise<void> {
    await this.commit(this.rows(this.options.organizations), signal);
    await this.client?.end().catch(() => undefined);
  }

  private sizeOfNext(): number {
    const { random } = this.options;
    const kind = random();
    if (kind < 0.6) return 1;
    if (kind < 0.9) return 2 + Math.floor(random() * 20);
    if (kind < 0.99) return 20 + Math.floor(random() * 80);
    return 300 + Math.floor(random() * 500);
  }

  private async transact(size: number, signal: AbortSignal): Promise<number> {
    const { random, organizations } = this.options;
    const choose = (): string => organizations[Math.floor(random() * organizations.length)] as string;
    const rows = this.rows(Array.from({ length: size }, choose));
    const isLong = random() < 0.02;
    if (random() >= 0.08) return this.commit(rows, signal, isLong);
    this.rolledBack += rows.length;
    const client = await this.connected(signal);
    try {
      await client?.query('BEGIN');
      if (client) await this.insert(client, rows);
      await client?.query('ROLLBACK');
    } catch {
      await this.disconnect(); // rolled back in any case
    }
    return 0;
  }

  private async commit(rows: readonly Row[], signal: AbortSignal, isLong = false): Promise<number> {
    for (;;) {
      const client = await this.connected(signal);
      if (!client) return 0;
      let isAsked = false;
      try {
        await client.query('BEGIN');
        await this.insert(client, rows);
        if (isLong) await this.linger(signal);
        isAsked = true;
        await client.query('COMMIT');
      } catch {
        await this.disconnect();
        if (!isAsked) continue;
        this.inDoubt += 1;
        if (!(await this.wasCommitted(rows))) continue;
      }
      this.note(rows);
      return rows.length;
    }
  }

  private note(rows: readonly Row[]): void {
    for (const { organization, number } of rows) this.committed.get(organization)?.add(number);
    this.events += rows.length;
    this.transactions += 1;
  }

  private async linger(signal: AbortSignal): Promise<void> {
    this.long += 1;
    await pause(systemClock, 500 + this.options.random() * 3_000, signal);
  }

  /** The server has been restarted since, so what it says now is final. */
  private async wasCommitted(rows: readonly Row[]): Promise<boolean> {
    for (;;) {
      const client = await this.connected(new AbortController().signal);
      try {
        const answer = await client?.query(FOUND, [rows.map(({ eventId }) => eventId)]);
        return (answer?.rowCount ?? 0) > 0;
      } catch {
        await this.disconnect();
      }
    }
  }

  private rows(organizations: readonly string[]): Row[] {
    return organizations.map((organization) => {
      const number = (this.numbers.get(organization) ?? 0) + 1;
      this.numbers.set(organization, number);
      return { eventId: randomUUID(), organization, number };
    });
  }

  private async insert(client: pg.Client, rows: readonly Row[]): Promise<void> {
    const fill = Math.floor(this.options.random() ** 4 * 4_000);
    const column = <K extends keyof Row>(name: K): Row[K][] => rows.map((row) => row[name]);
    await client.query(PUBLISH, [column('eventId'), column('organization'), column('number'), fill]);
  }

  private async connected(signal: AbortSignal): Promise<pg.Client | undefined> {
    while (!this.client) {
      const client = newClient({ connectionString: this.options.url, application_name: 'walpost soak' });
      try {
        await client.connect();
        this.client = client;
      } catch {
        if (signal.aborted) return undefined;
        await pause(systemClock, AGAIN_MS, signal);
      }
    }
    return this.client;
  }

  private async disconnect(): Promise<void> {
    const { client } = this;
    this.client = undefined;
    await client?.end().catch(() => undefined);
  }
}
