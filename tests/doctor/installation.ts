/**
 * One installation to look at, as docs/operations.md wants it: a database of its own, a login that may do what a relay needs
 * and no more, and a slot that a relay has made. Doctor finds nothing there while the relay runs.
 */
import { systemClock } from '../../src/clock.ts';
import { configSchema } from '../../src/config/schema.ts';
import type { ConfigApart } from '../../src/config/load-apart.ts';
import { examine, type Examination } from '../../src/doctor/examine.ts';
import { type DoctorLimits, LIMITS } from '../../src/doctor/limits.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { createRole, type DatabaseRole } from '../support/database-role.ts';
import { RelayInProcess } from '../support/relay-in-process.ts';

/** On a server with these doctor has nothing to say of its settings. */
export const HEALTHY_SETTINGS = { max_slot_wal_keep_size: '1GB', max_prepared_transactions: '5' };

export interface ExamineOptions {
  readonly url?: string;
  readonly source?: object;
  readonly config?: Readonly<Record<string, object>>;
  readonly limits?: Partial<DoctorLimits>;
  readonly probe?: boolean;
  /** Milliseconds that this machine is ahead. */
  readonly ahead?: number;
  readonly sinkProblems?: ConfigApart['sinkProblems'];
}

export class Installation implements AsyncDisposable {
  readonly database: TestDatabase;
  readonly login: DatabaseRole;

  private constructor(database: TestDatabase, login: DatabaseRole) {
    this.database = database;
    this.login = login;
  }

  /** With `started` a relay has run and made the slot. */
  static async open({ server, started = true }: { server: string; started?: boolean }): Promise<Installation> {
    const database = await createTestDatabase({ server });
    const groups = ['walpost_relay', 'pg_read_all_stats'];
    const login = await createRole(database, { in: groups, attributes: 'REPLICATION' });
    const made = new Installation(database, login);
    if (started) await (await made.relay()).stop();
    return made;
  }

  /** A relay of this installation that streams. */
  relay(source: object = {}): Promise<RelayInProcess> {
    const database = { ...this.database, url: this.login.url };
    return RelayInProcess.start({
      database,
      sinks: { out: { type: 'discard' } },
      source: { slot: undefined, ...source },
    });
  }

  examine(options: ExamineOptions = {}): Promise<Examination> {
    const { url = this.login.url, source = {}, config = {}, limits = {}, probe = false, ahead = 0 } = options;
    const parsed = configSchema.parse({
      sinks: { out: { type: 'discard' } },
      routes: [{ to: ['out'] }],
      ...config,
      source,
      database: { url },
    });
    const clock = { ...systemClock, wallTime: () => systemClock.wallTime() + ahead };
    return examine({
      config: { config: parsed, sinkProblems: options.sinkProblems ?? [] },
      probe,
      clock,
      limits: { ...LIMITS, ...limits },
    });
  }

  /** Runs the statements of a remedy, as somebody who may. */
  async mend(remedy: string): Promise<void> {
    const statements = statementsOf(remedy);
    if (statements.length === 0) throw new Error(`there is no statement in: ${remedy}`);
    for (const statement of statements) await this.database.query(statement);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.login[Symbol.asyncDispose]();
    await this.database[Symbol.asyncDispose]();
  }
}

/** What a person would copy out of it. */
export function statementsOf(remedy: string): string[] {
  return [...remedy.matchAll(/\b(?:ALTER|GRANT|REVOKE|CREATE|DROP|SELECT|ROLLBACK) [^;`]*;/g)].map(([found]) => found);
}
