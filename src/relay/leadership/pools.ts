import type pg from 'pg';
import type { Clock, Timer } from '../../clock.ts';
import type { Logger } from '../../observe/log.ts';
import { createPool, cutPool } from '../../postgres/pool.ts';
import { isShutdown, replicationError } from '../../slot/replication-error.ts';

export interface TermPoolsOptions {
  readonly url: string;
  readonly clock: Clock;
  readonly log: Logger;
  /** Aborted here when the server tells any connection that it shuts down. */
  readonly revoked: AbortController;
  /** The relay is told to end: what matters is done, or was given up. */
  readonly ended: AbortSignal;
}

/** How long queries may still be answered once the term is revoked or told to end. The server may not even know that the connection is gone. */
const LAST_ANSWERS_MS = 1_000;

/** The pools of one term. A shutdown that one of them hears of revokes the term, and they end together, in bounded time. */
export class TermPools {
  private readonly options: TermPoolsOptions;
  private readonly pools: pg.Pool[] = [];
  private cutting: Timer | undefined;
  private readonly cutSoon = (): void => {
    this.cutting?.cancel();
    this.cutting = this.options.clock.schedule(LAST_ANSWERS_MS, () => {
      this.pools.forEach(cutPool);
      this.cutSoon(); // a caller that tried again waits on a new connection by now
    });
  };

  constructor(options: TermPoolsOptions) {
    this.options = options;
    for (const signal of this.ends) signal.addEventListener('abort', this.cutSoon, { once: true });
  }

  open(applicationName: string, max: number): pg.Pool {
    const { url, log, revoked } = this.options;
    const pool = createPool(url, {
      applicationName,
      max,
      onError: (error) => log.debug({ err: error }, 'an idle connection ended'),
      onServerError: (error) => {
        if (isShutdown(error)) revoked.abort(replicationError(error));
      },
    });
    this.pools.push(pool);
    return pool;
  }

  private get ends(): readonly AbortSignal[] {
    return [this.options.revoked.signal, this.options.ended];
  }

  async close(): Promise<void> {
    await Promise.all(this.pools.filter((pool) => !pool.ending).map((pool) => pool.end()));
    for (const signal of this.ends) signal.removeEventListener('abort', this.cutSoon);
    this.cutting?.cancel();
  }
}
