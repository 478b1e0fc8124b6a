import type pg from 'pg';
import type { Clock, Timer } from './clock.ts';
import type { Logger } from './observe/log.ts';
import { createPool, cutPool } from './postgres/pool.ts';
import { isShutdown, replicationError } from './slot/replication-error.ts';

export interface RelayPoolsOptions {
  readonly url: string;
  readonly clock: Clock;
  readonly log: Logger;
  /** Aborted here when the server says to any connection that it shuts down. */
  readonly broken: AbortController;
}

/** After that nobody waits any more for a server that may not even know that the connection is gone. */
const LAST_ANSWERS_MS = 1_000;

/** The pools of one ground: what one of them hears of a shutdown is said to all, and they end together, in bounded time. */
export class RelayPools {
  private readonly options: RelayPoolsOptions;
  private readonly pools: pg.Pool[] = [];
  private cutting: Timer | undefined;
  private readonly cutSoon = (): void => {
    this.cutting = this.options.clock.schedule(LAST_ANSWERS_MS, () => {
      this.pools.forEach(cutPool);
      this.cutSoon(); // whoever tried again meanwhile waits on a new connection
    });
  };

  constructor(options: RelayPoolsOptions) {
    this.options = options;
    options.broken.signal.addEventListener('abort', this.cutSoon);
  }

  open(applicationName: string, max: number): pg.Pool {
    const { url, log, broken } = this.options;
    const pool = createPool(url, {
      applicationName,
      max,
      onError: (error) => log.debug({ err: error }, 'an idle connection ended'),
      onServerError: (error) => {
        if (isShutdown(error)) broken.abort(replicationError(error));
      },
    });
    this.pools.push(pool);
    return pool;
  }

  async end(): Promise<void> {
    await Promise.all(this.pools.filter((pool) => !pool.ending).map((pool) => pool.end()));
    this.options.broken.signal.removeEventListener('abort', this.cutSoon);
    this.cutting?.cancel();
  }
}
