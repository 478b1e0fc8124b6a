/** What the database knows of the status: the slot, and what is stored. One reader for /status and for `walpost status`. */
import type pg from 'pg';
import { type Job, jobName } from '../../jobs/job.ts';
import { openJobs } from '../../jobs/job-rows.ts';
import { formatLsn, maxLsn, type Lsn } from '../../lsn.ts';
import type { JobStatus, StatusReport } from '../../observe/status-report.ts';
import { countParked } from '../../parking/parked-sinks.ts';
import { readPauses } from '../../parking/pauses.ts';
import { countDeadLetters } from '../../parking/stored-rows.ts';
import { readWaitingLanes } from '../../parking/waiting-lanes.ts';
import { SQLSTATE } from '../../postgres/sqlstate.ts';
import { stateOf } from '../../postgres/storable.ts';
import { inspectSlot, type SlotFacts, type SlotState } from '../../slot/slot-state.ts';
import { inOrder, missingRelay, readHolders } from './holders.ts';
import { readRelaySessions, type RelaySessions } from './relay-sessions.ts';

/** null is unknown: the table is not there, or this role may not read it. */
export type DatabaseFacts = Pick<
  StatusReport,
  'slot' | 'deadLetters' | 'parked' | 'paused' | 'waiting' | 'jobs' | 'heldBy'
> & {
  readonly lag: Omit<StatusReport['lag'], 'seconds' | 'oldestSeconds'>;
  readonly sessions: RelaySessions | null;
  /** Where the server writes; null when it is not known. */
  readonly walEnd: Lsn | null;
};

/** When the database could not be asked. */
export const NO_FACTS: DatabaseFacts = {
  slot: null,
  lag: { unreadBytes: null, unconfirmedBytes: null, retainedBytes: null, safeBytes: null, unlimited: null },
  heldBy: null,
  sessions: null,
  walEnd: null,
  waiting: null,
  deadLetters: null,
  parked: null,
  paused: null,
  jobs: null,
};

export interface FactsOptions {
  /** How far a stream of this process has come; without one it is unknown. */
  readonly received?: Lsn | undefined;
  /** Leaves out what names lanes and sessions, which takes long when there are many. */
  readonly numbersOnly?: boolean;
}

/** Reads the slot and what is stored. */
export async function readDatabaseFacts(
  pool: pg.Pool,
  slot: string,
  { received, numbersOnly = false }: FactsOptions = {},
): Promise<DatabaseFacts> {
  const isThere = await existing(pool);
  // One after the other: a command has one connection, and what queues for it would time out behind a slow count.
  const state = await inspectSlot(pool, slot);
  const holders = isThere.holders && !numbersOnly ? await known(readHolders(pool, slot)) : null;
  const sessions = isThere.holders ? await known(readRelaySessions(pool, slot)) : null;
  const jobs = isThere.jobs ? await known(openJobs(pool, slot)) : null;
  const parked = isThere.parked ? await known(countParked(pool, slot)) : null;
  const deadLetters = isThere.deadLetters ? await known(countDeadLetters(pool)) : null;
  const running = jobs?.find((job) => job.state === 'running' && job.kind !== 'heal');
  const isStreamed = state.kind !== 'missing' && state.facts.holder !== null;
  const context = { isStreamed, job: running ? jobName(running) : null };
  const status = slotStatus(slot, state, received);
  return {
    ...status,
    // What lanes did before a relay ended holds nothing any more.
    heldBy:
      holders &&
      inOrder([
        ...holders.filter(({ kind }) => isStreamed || kind !== 'lane'),
        ...(status.slot ? missingRelay(status.slot, sessions) : []),
      ]),
    sessions,
    walEnd: walEnd(state),
    deadLetters,
    parked,
    paused: isThere.pauses ? await known(readPauses(pool, slot)) : null,
    waiting:
      isThere.lanes && isThere.parked && !numbersOnly ? await known(readWaitingLanes(pool, slot, context)) : null,
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

function walEnd(state: SlotState): Lsn | null {
  if (state.kind === 'missing') return null;
  const { confirmedFlushLsn, unconfirmedBytes, restartLsn, retainedBytes } = state.facts;
  if (confirmedFlushLsn !== null && unconfirmedBytes !== null) return confirmedFlushLsn + BigInt(unconfirmedBytes);
  return restartLsn === null || retainedBytes === null ? null : restartLsn + BigInt(retainedBytes);
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

export interface ThereIs {
  readonly deadLetters: boolean;
  readonly parked: boolean;
  readonly jobs: boolean;
  readonly lanes: boolean;
  readonly pauses: boolean;
  readonly holders: boolean;
  readonly alerts: boolean;
  readonly installation: boolean;
}

const PAUSES = `EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('walpost.lanes') AND attname = 'pause_reason') AS pauses`;
const NOTHING_THERE: ThereIs = {
  deadLetters: false,
  parked: false,
  jobs: false,
  lanes: false,
  pauses: false,
  holders: false,
  alerts: false,
  installation: false,
};

/** A database that is not migrated, or not up to date, still has a slot to show. */
export async function existing(pool: pg.Pool): Promise<ThereIs> {
  const is = (table: string, name: string): string => `to_regclass('walpost.${table}') IS NOT NULL AS "${name}"`;
  const tables = [
    is('dead_letters', 'deadLetters'),
    is('parked', 'parked'),
    is('jobs', 'jobs'),
    is('lanes', 'lanes'),
    is('wal_holders', 'holders'),
    is('alerts', 'alerts'),
  ];
  const { rows } = await pool.query<ThereIs & object>(
    `SELECT ${[...tables, is('installation', 'installation'), PAUSES].join(', ')}`,
  );
  return rows[0] ?? NOTHING_THERE;
}

/** The answer; null when this role may not ask. */
export async function known<T>(answer: Promise<T>): Promise<T | null> {
  try {
    return await answer;
  } catch (error) {
    if (stateOf(error) === SQLSTATE.insufficientPrivilege) return null;
    throw error;
  }
}
