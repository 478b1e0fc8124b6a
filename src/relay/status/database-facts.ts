/** What the database knows of the status: the slot, and what is stored. One reader for /status and for `walpost status`. */
import type pg from 'pg';
import type { Config } from '../../config/schema.ts';
import { messageOf, WalpostError } from '../../errors.ts';
import { type Job, jobName } from '../../jobs/job.ts';
import { openJobs } from '../../jobs/job-rows.ts';
import { HOLDER, type LockHolder, strangerProblem } from '../../leader/lock-holder.ts';
import { formatLsn, maxLsn, type Lsn } from '../../lsn.ts';
import { scrub } from '../../observe/redact.ts';
import { type JobStatus, type StatusReport, toAlert } from '../../observe/status-report.ts';
import { countParked } from '../../parking/parked-sinks.ts';
import { countDeadLetters } from '../../parking/stored-rows.ts';
import { databaseError } from '../../postgres/database-error.ts';
import { readWaitingLanes } from '../../parking/waiting-lanes.ts';
import { createPool } from '../../postgres/pool.ts';
import { SQLSTATE } from '../../postgres/sqlstate.ts';
import { stateOf } from '../../postgres/storable.ts';
import { inspectSlot, type SlotFacts, type SlotState } from '../../slot/slot-state.ts';
import { COUNT_LIMIT, slotOf, usualSlot } from '../starts/start-facts.ts';

/** null is unknown: the table is not there, or this role may not read it. */
export type DatabaseFacts = Pick<StatusReport, 'slot' | 'deadLetters' | 'parked' | 'waiting' | 'jobs'> & {
  readonly lag: Omit<StatusReport['lag'], 'seconds'>;
};

/** When the database could not be asked. */
export const NO_FACTS: DatabaseFacts = {
  slot: null,
  lag: { unreadBytes: null, unconfirmedBytes: null, retainedBytes: null, safeBytes: null, unlimited: null },
  waiting: null,
  deadLetters: null,
  parked: null,
  jobs: null,
};

/** Reads the slot and what is stored. `received` is how far a stream of this process has come; without one it is unknown. */
export async function readDatabaseFacts(pool: pg.Pool, slot: string, received?: Lsn): Promise<DatabaseFacts> {
  const isThere = await existing(pool);
  const [state, deadLetters, parked, jobs] = await Promise.all([
    inspectSlot(pool, slot),
    isThere.deadLetters ? known(countDeadLetters(pool)) : null,
    isThere.parked ? known(countParked(pool, slot)) : null,
    isThere.jobs ? known(openJobs(pool, slot)) : null,
  ]);
  const running = jobs?.find((job) => job.state === 'running' && job.kind !== 'heal');
  const isStreamed = state.kind !== 'missing' && state.facts.holder !== null;
  const context = { isStreamed, job: running ? jobName(running) : null };
  return {
    ...slotStatus(slot, state, received),
    deadLetters,
    parked,
    waiting: isThere.lanes && isThere.parked ? await known(readWaitingLanes(pool, slot, context)) : null,
    jobs: jobs && jobs.map(jobStatus),
  };
}

function jobStatus({ id, kind, state, scanned, settled, reason }: Job): JobStatus {
  return { id, kind, state, scanned, settled, reason };
}

function slotStatus(name: string, state: SlotState, received?: Lsn): Pick<DatabaseFacts, 'slot' | 'lag'> {
  const facts = state.kind === 'missing' ? undefined : state.facts;
  const walStatus = facts === undefined ? 'missing' : state.kind === 'lost' ? 'lost' : (facts.walStatus ?? 'unknown');
  return {
    slot: {
      name,
      walStatus,
      active: facts?.holder != null,
      restartLsn: lsnText(facts?.restartLsn),
      confirmedLsn: lsnText(facts?.confirmedFlushLsn),
    },
    lag: {
      unreadBytes: received === undefined ? null : unread(facts, received),
      unconfirmedBytes: facts?.unconfirmedBytes ?? null,
      retainedBytes: facts?.retainedBytes ?? null,
      safeBytes: facts?.safeBytes ?? null,
      unlimited: facts === undefined || state.kind === 'lost' ? null : facts.unlimited,
    },
  };
}

/** The server's end is its confirmed position plus the bytes that are not confirmed. */
function unread(facts: SlotFacts | undefined, received: Lsn): number | null {
  if (!facts || facts.confirmedFlushLsn === null || facts.unconfirmedBytes === null) return null;
  const behind = facts.unconfirmedBytes - Number(maxLsn(received, facts.confirmedFlushLsn) - facts.confirmedFlushLsn);
  return Math.max(0, behind);
}

function lsnText(lsn: Lsn | null | undefined): string | null {
  return lsn == null ? null : formatLsn(lsn);
}

export type DatabaseAnswer =
  | {
      readonly kind: 'answered';
      readonly facts: DatabaseFacts & Pick<StatusReport, 'alerts'>;
      readonly notes: readonly string[];
    }
  | { readonly kind: 'silent'; readonly reason: string };

/** For a command: asks over one connection of its own, whatever state the database is in. */
export async function askDatabase(config: Config): Promise<DatabaseAnswer> {
  const pool = createPool(config.database.url, { applicationName: 'walpost status', max: 1, queryTimeoutMs: 65_000 });
  try {
    const isInstalled = (await existing(pool)).installation;
    const slot = await slotName(pool, config, isInstalled);
    const facts = await readDatabaseFacts(pool, slot);
    const alerts = await known(strangers(pool, slot));
    const notes = (isInstalled ? await known(neverRun(pool)) : null) ?? [];
    return { kind: 'answered', facts: { ...facts, alerts }, notes };
  } catch (error) {
    if (error instanceof WalpostError && error.policy === 'usage') throw error;
    return { kind: 'silent', reason: `The database could not be asked (${scrub(messageOf(databaseError(error)))}).` };
  } finally {
    await pool.end();
  }
}

interface Existing {
  readonly deadLetters: boolean;
  readonly parked: boolean;
  readonly jobs: boolean;
  readonly lanes: boolean;
  readonly installation: boolean;
}

/** A database that is not migrated, or not up to date, still has a slot to show. */
async function existing(pool: pg.Pool): Promise<Existing> {
  const is = (table: string, name: string): string => `to_regclass('walpost.${table}') IS NOT NULL AS "${name}"`;
  const tables = [is('dead_letters', 'deadLetters'), is('parked', 'parked'), is('jobs', 'jobs'), is('lanes', 'lanes')];
  const { rows } = await pool.query<Existing & object>(
    `SELECT ${[...tables, is('installation', 'installation')].join(', ')}`,
  );
  return rows[0] ?? { deadLetters: false, parked: false, jobs: false, lanes: false, installation: false };
}

/** The answer; null when this role may not ask. */
async function known<T>(answer: Promise<T>): Promise<T | null> {
  try {
    return await answer;
  } catch (error) {
    if (stateOf(error) === SQLSTATE.insufficientPrivilege) return null;
    throw error;
  }
}

async function slotName(pool: pg.Pool, config: Config, isInstalled: boolean): Promise<string> {
  const recorded = isInstalled ? await known(slotOf(pool, config.source)) : null;
  if (recorded !== null) return recorded;
  const { rows } = await pool.query<{ name: string }>('SELECT current_database()::text AS name');
  return config.source.slot ?? usualSlot(rows[0]?.name ?? '');
}

async function strangers(pool: pg.Pool, slot: string): Promise<StatusReport['alerts']> {
  const isThere = await pool.query("SELECT WHERE to_regprocedure('walpost.leader_lock(text)') IS NOT NULL");
  if (isThere.rowCount === 0) return [];
  const { rows } = await pool.query<LockHolder & pg.QueryResultRow>(HOLDER, [slot]);
  const problem = strangerProblem(slot, rows[0]);
  return problem ? [toAlert(problem, slot)] : [];
}

/** A note when rows wait in walpost.outbox and no relay has ever read them. */
async function neverRun(pool: pg.Pool): Promise<string[]> {
  const { rows } = await pool.query<{ rows: number; since: string }>(
    `SELECT count(*)::integer AS rows, to_char(min(e.created_at) AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') AS since
       FROM walpost_internal.pending_events('', ${COUNT_LIMIT + 1}) AS e
      WHERE NOT EXISTS (SELECT FROM walpost.cursor) HAVING count(*) > 0`,
  );
  const found = rows[0];
  if (!found) return [];
  const count = found.rows > COUNT_LIMIT ? `More than ${COUNT_LIMIT}` : found.rows;
  return [`${count} rows of walpost.outbox wait since ${found.since} UTC, and no relay has ever run.`];
}
