import type pg from 'pg';
import { pause, type Clock } from '../clock.ts';

/** Looked at without a ring too, in case one was lost with its connection. */
const LOOK_ANYWAY_MS = 15_000;

/** Rings when walpost.jobs changes. It keeps one connection of the pool for itself. */
export class JobBell {
  private readonly pool: pg.Pool;
  private readonly clock: Clock;
  private client: pg.PoolClient | undefined;
  private rung = new AbortController();

  constructor(pool: pg.Pool, clock: Clock) {
    this.pool = pool;
    this.clock = clock;
  }

  /** Listens from here on: what changes later rings. Call it before looking. */
  async listen(): Promise<void> {
    this.rung = new AbortController();
    if (this.client) return;
    const client = await this.pool.connect();
    const gone = (): void => {
      if (this.client === client) this.close(); // the pool waits for what was never given back
      this.rung.abort();
    };
    client.on('notification', () => this.rung.abort());
    client.on('error', gone);
    client.on('end', gone);
    try {
      await client.query('LISTEN walpost_jobs');
      this.client = client;
    } catch (error) {
      client.release(true);
      throw error;
    }
  }

  /** Resolves with a ring since `listen`, after a while without one, or when the signal aborts. */
  async wait(signal: AbortSignal): Promise<void> {
    await pause(this.clock, LOOK_ANYWAY_MS, AbortSignal.any([signal, this.rung.signal]));
  }

  close(): void {
    this.client?.release(true);
    this.client = undefined;
  }
}
