/**
 * Any number of migrations may start at once: a lock lets one through at a time, and who comes later finds the work done.
 *
 * It is a lock on a table that only the owner may lock. An advisory lock could be held by any role, and walpost migrate
 * would hang without a word. The turn has a session of its own, which does nothing else meanwhile, so that it can also say
 * whom a file of the migration waits for.
 *
 * Every wait is taken in short turns, with pauses in between: publishers never queue for long behind a lock that is itself
 * waited for, and a session that waits holds VACUUM back for a second at most. The wait is bounded, and says for whom it is.
 */
import type pg from 'pg';
import { type Clock, pause, systemClock } from '../../clock.ts';
import { WalpostError } from '../../errors.ts';
import { SQLSTATE, isSqlState } from '../sqlstate.ts';

export interface TurnOptions {
  /** The session of the turn; it must have a lock_timeout. */
  readonly client: pg.Client;
  /** Called with a line about what is waited for. */
  readonly say: (text: string) => void;
  /** Milliseconds after which one wait is given up. */
  readonly patience?: number;
  readonly clock?: Clock;
}

const PATIENCE_MS = 60_000;
/** A wait that is over by then is not worth a line. */
const TELL_AFTER_MS = 2_000;
const PAUSE_MS = 500;
const LOOK_EVERY_MS = 100;

const HOLDERS = `
  SELECT l.pid, a.usename::text AS role, a.application_name AS application
    FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
   WHERE l.locktype = 'relation' AND l.relation = to_regclass('walpost.migration_turn') AND l.granted
     AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
     AND l.mode NOT IN ('AccessShareLock', 'RowShareLock', 'RowExclusiveLock')`;

/** 0 stands for a prepared transaction. */
const BLOCKERS = `
  SELECT b.pid, a.usename::text AS role, a.application_name AS application
    FROM unnest(pg_blocking_pids($1)) AS b (pid) LEFT JOIN pg_stat_activity a ON a.pid = b.pid`;

interface Session {
  readonly pid: number | null;
  readonly role: string | null;
  readonly application: string | null;
}

export class MigrationTurn {
  private readonly options: TurnOptions;
  private readonly clock: Clock;

  constructor(options: TurnOptions) {
    this.options = options;
    this.clock = options.clock ?? systemClock;
  }

  /** Resolves when it is our turn, which ends with the session. `prepare` makes the table; others may be making it too. */
  async take(prepare: () => Promise<void>): Promise<void> {
    const { client } = this.options;
    let holders: readonly Session[] = [];
    await this.inTurns(
      'its turn',
      () => holders,
      async () => {
        try {
          if (!(await hasTable(client))) await prepare();
          await client.query('BEGIN; LOCK TABLE walpost.migration_turn IN SHARE UPDATE EXCLUSIVE MODE');
        } catch (error) {
          await client.query('ROLLBACK');
          holders = await sessions(client, HOLDERS, []);
          throw error;
        }
      },
    );
  }

  /** Runs work of another session that may have to wait for locks; `what` is for the reader. */
  async work<T>(what: string, worker: pg.Client, work: () => Promise<T>): Promise<T> {
    const { rows } = await worker.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
    let blockers: readonly Session[] = [];
    return this.inTurns(
      what,
      () => blockers,
      async () => {
        const over = new AbortController();
        const looking = this.watch(rows[0]?.pid ?? 0, over.signal, (found) => (blockers = found));
        looking.catch(() => undefined); // told below, when the work is over
        try {
          return await work();
        } finally {
          over.abort();
          await looking;
        }
      },
    );
  }

  private async watch(pid: number, over: AbortSignal, found: (blockers: readonly Session[]) => void): Promise<void> {
    for (;;) {
      await pause(this.clock, LOOK_EVERY_MS, over);
      if (over.aborted) return;
      await this.options.client.query('SELECT pg_stat_clear_snapshot()'); // its transaction would see one state for ever
      const blockers = await sessions(this.options.client, BLOCKERS, [pid]);
      if (blockers.length > 0) found(blockers);
    }
  }

  private async inTurns<T>(what: string, waitsFor: () => readonly Session[], turn: () => Promise<T>): Promise<T> {
    const { say, patience = PATIENCE_MS } = this.options;
    const begun = this.clock.now();
    let said = '';
    for (;;) {
      try {
        return await turn();
      } catch (error) {
        if (!isPassing(error)) throw error;
        const waited = this.clock.now() - begun;
        const text = sessionsText(waitsFor());
        if (waited >= patience) throw waits(what, waitsFor(), waited / 1000, error);
        if (waited >= TELL_AFTER_MS && said !== text) say(`waiting with ${what} for ${text}`);
        if (waited >= TELL_AFTER_MS) said = text;
      }
      await pause(this.clock, PAUSE_MS);
    }
  }
}

/** The lock was not to be had, or two made the same schema at the same moment. */
function isPassing(error: unknown): boolean {
  const { lockNotAvailable, deadlockDetected, uniqueViolation, duplicateTable, duplicateObject } = SQLSTATE;
  return isSqlState(error, lockNotAvailable, deadlockDetected, uniqueViolation, duplicateTable, duplicateObject);
}

async function hasTable(client: pg.Client): Promise<boolean> {
  const { rowCount } = await client.query("SELECT WHERE to_regclass('walpost.migration_turn') IS NOT NULL");
  return rowCount === 1;
}

async function sessions(client: pg.Client, sql: string, values: unknown[]): Promise<readonly Session[]> {
  return (await client.query<Session & pg.QueryResultRow>(sql, values)).rows;
}

function sessionsText(found: readonly Session[]): string {
  return found.map(sessionText).join(', ') || 'another session';
}

function sessionText({ pid, role, application }: Session): string {
  if (!pid) return 'a prepared transaction (see pg_prepared_xacts)';
  return `server process ${pid} (role ${role ?? 'unknown'}, application ${application || 'without a name'})`;
}

function waits(what: string, found: readonly Session[], seconds: number, cause: unknown): WalpostError {
  const pids = found.flatMap(({ pid }) => (pid ? [`SELECT pg_terminate_backend(${pid});`] : []));
  return new WalpostError('MIGRATION_WAITS', {
    detail: `After ${Math.round(seconds)} s it was ${sessionsText(found)} that held up ${what}.`,
    cause,
    ...(pids.length > 0 && {
      remedy: `Run \`walpost migrate\` again when that session has ended, or end it: ${pids.join(' ')}`,
    }),
  });
}
