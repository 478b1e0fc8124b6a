import { setTimeout as delay } from 'node:timers/promises';
import { parseLsn } from '../../src/lsn.ts';
import type { TestDatabase } from '../support/database.ts';

export interface SlotSample {
  readonly at: number;
  /** WAL that was written and not confirmed. */
  readonly bytes: number;
  /** Milliseconds since no more had been written than what is confirmed now, at most. */
  readonly age: number;
}

/** How far the slot stays behind, in bytes and in time. */
export class SlotWatch {
  readonly samples: SlotSample[] = [];
  private readonly database: TestDatabase;
  private readonly every: number;
  private readonly stopping = new AbortController();
  private readonly written: { readonly at: number; readonly lsn: bigint }[] = [];
  private watching: Promise<void> | undefined;

  constructor(database: TestDatabase, every: number) {
    this.database = database;
    this.every = every;
  }

  start(): void {
    this.watching = this.watch();
  }

  async stop(): Promise<void> {
    this.stopping.abort();
    await this.watching;
  }

  private async watch(): Promise<void> {
    const client = await this.database.client();
    const { signal } = this.stopping;
    while (!signal.aborted) {
      const at = performance.now();
      const { rows } = await client.query<{ confirmed: string; written: string }>(
        `SELECT confirmed_flush_lsn::text AS confirmed, pg_current_wal_insert_lsn()::text AS written
           FROM pg_replication_slots WHERE slot_name = $1`,
        [this.database.slotName],
      );
      this.note(at, parseLsn(rows[0]?.confirmed ?? '') ?? 0n, parseLsn(rows[0]?.written ?? '') ?? 0n);
      await delay(this.every, undefined, { signal }).catch(() => undefined);
    }
  }

  private note(at: number, confirmed: bigint, lsn: bigint): void {
    while ((this.written[1]?.lsn ?? confirmed + 1n) <= confirmed) this.written.shift();
    const since = lsn <= confirmed ? at : (this.written[0]?.at ?? at);
    this.samples.push({ at, bytes: Number(lsn - confirmed), age: at - since });
    this.written.push({ at, lsn });
  }
}
