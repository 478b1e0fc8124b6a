import pg from 'pg';
import { type Clock, pause } from '../clock.ts';

const READY_TIMEOUT_MS = 30_000;

/** Looks at the demo's slot from the outside, as an operator would. */
export class SlotProbe {
  private readonly client: pg.Client;
  private readonly slot: string;

  constructor(url: string, slot: string) {
    this.client = new pg.Client({ connectionString: url, application_name: 'walpost demo view' });
    this.client.on('error', () => undefined);
    this.slot = slot;
  }

  async connect(): Promise<void> {
    await this.client.connect();
  }

  async end(): Promise<void> {
    await this.client.end();
  }

  /** Bytes of WAL that are written and not yet confirmed; undefined while nothing streams, or when nobody answers. */
  async lagBytes(): Promise<number | undefined> {
    const { rows } = await this.client
      .query<{ lag: string }>(
        `SELECT greatest(0, pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn)) AS lag
           FROM pg_replication_slots WHERE slot_name = $1 AND active`,
        [this.slot],
      )
      .catch(() => ({ rows: [] }));
    return rows[0] ? Number(rows[0].lag) : undefined;
  }

  /** True when the slot streams; false when the signal aborted, or time ran out, before that. */
  async waitForStream(clock: Clock, signal: AbortSignal): Promise<boolean> {
    const deadline = clock.now() + READY_TIMEOUT_MS;
    while (!signal.aborted && clock.now() < deadline) {
      if ((await this.lagBytes()) !== undefined) return true;
      await pause(clock, 50, signal);
    }
    return false;
  }
}
