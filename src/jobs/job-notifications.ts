import type pg from 'pg';
import { pause, type Clock } from '../clock.ts';

/** `wait` resolves after this time without a notification too, in case one was lost with its connection. */
const CHECK_ANYWAY_MS = 15_000;
/** Minimum time between two checks. Any role may notify, as often as it likes. */
const BETWEEN_CHECKS_MS = 250;

/** Listens for changes of walpost.jobs. It keeps one connection of the pool for itself. */
export class JobNotifications {
  private readonly pool: pg.Pool;
  private readonly clock: Clock;
  private client: pg.PoolClient | undefined;
  private notified = new AbortController();

  constructor(pool: pg.Pool, clock: Clock) {
    this.pool = pool;
    this.clock = clock;
  }

  /** Changes from here on end the next `wait`. Call it before reading the jobs. */
  async listen(): Promise<void> {
    this.notified = new AbortController();
    if (this.client) return;
    const client = await this.pool.connect();
    const lost = (): void => {
      if (this.client === client) this.close(); // pool.end() waits for clients that were not released
      this.notified.abort();
    };
    client.on('notification', () => this.notified.abort());
    client.on('error', lost);
    client.on('end', lost);
    try {
      await client.query('LISTEN walpost_jobs');
      this.client = client;
    } catch (error) {
      client.release(true);
      throw error;
    }
  }

  /** Resolves at a notification since `listen`, after a while without one, or when the signal aborts. */
  async wait(signal: AbortSignal): Promise<void> {
    const begun = this.clock.now();
    await pause(this.clock, CHECK_ANYWAY_MS, AbortSignal.any([signal, this.notified.signal]));
    await pause(this.clock, BETWEEN_CHECKS_MS - (this.clock.now() - begun), signal);
  }

  close(): void {
    this.client?.release(true);
    this.client = undefined;
  }
}
