/** Looks while the relay streams whether its login could start replication again, and says once when that changes. */
import type pg from 'pg';
import type { WalpostError } from '../errors.ts';
import type { Logger } from '../observe/log.ts';
import { lostReplicationRight } from '../slot/replication-right.ts';
import type { Chore } from './chores.ts';

const EVERY_MS = 10_000;

export interface LoginWatchOptions {
  readonly pool: pg.Pool;
  readonly url: string;
  readonly log: Logger;
}

export class LoginWatch {
  private readonly options: LoginWatchOptions;
  /** As the last look found it; undefined when all is well. */
  problem: WalpostError | undefined;

  constructor(options: LoginWatchOptions) {
    this.options = options;
  }

  get chore(): Chore {
    return { name: 'looking at the rights of the login', every: EVERY_MS, run: () => this.check() };
  }

  async check(): Promise<void> {
    const { pool, url, log } = this.options;
    const before = this.problem;
    this.problem = await lostReplicationRight(pool, url);
    if (this.problem && !before) {
      const { code, message, remedy } = this.problem;
      log.error({ code, remedy }, `${message} The stream goes on until its connection ends; no start would succeed.`);
    } else if (before && !this.problem) {
      log.info({ code: before.code }, 'the login may start replication again');
    }
  }
}
