/**
 * Looks while the relay streams whether its login could start replication again, and says once when that changes. It only
 * tells: whatever goes wrong with the look itself, the stream goes on.
 */
import type pg from 'pg';
import type { Clock } from '../clock.ts';
import type { WalpostError } from '../errors.ts';
import type { Logger } from '../observe/log.ts';
import { readReplicationAttribute, replicationRefusal } from '../slot/replication-right.ts';
import type { Chore } from './chores.ts';

const EVERY_MS = 10_000;
/** Where the attribute does not tell, a connection does. It takes a walsender, which somebody else may need. */
const PROOF_EVERY_MS = 600_000;

export interface LoginWatchOptions {
  readonly pool: pg.Pool;
  readonly url: string;
  readonly clock: Clock;
  readonly log: Logger;
}

export class LoginWatch {
  private readonly options: LoginWatchOptions;
  /** As the last look found it; undefined when all is well. */
  problem: WalpostError | undefined;
  /** When a connection was last tried, while the role has had no attribute; undefined while it has one. */
  private provenAt: number | undefined;

  constructor(options: LoginWatchOptions) {
    this.options = options;
  }

  get chore(): Chore {
    return { name: 'looking at the rights of the login', every: EVERY_MS, run: () => this.check() };
  }

  async check(): Promise<void> {
    const { log } = this.options;
    const before = this.problem;
    try {
      this.problem = await this.look();
    } catch {
      return; // not known: what is wrong with the server is told by others
    }
    if (this.problem && !before) {
      const { code, message, remedy } = this.problem;
      log.error({ code, remedy }, `${message} The stream goes on until its connection ends; no start would succeed.`);
    } else if (before && !this.problem) {
      log.info({ code: before.code }, 'the login may start replication again');
    }
  }

  private async look(): Promise<WalpostError | undefined> {
    const { pool, url, clock } = this.options;
    const { role, has } = await readReplicationAttribute(pool);
    if (has) {
      this.provenAt = undefined;
      return undefined;
    }
    const isRecent = this.provenAt !== undefined && clock.now() - this.provenAt < PROOF_EVERY_MS;
    if (isRecent && !this.problem) return undefined;
    this.provenAt = clock.now();
    return replicationRefusal(url, role);
  }
}
