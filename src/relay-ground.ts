/**
 * What a connection stands on, in the order in which it is made: a checked server and a migrated schema, the leader's lock,
 * the cursor claimed with a new epoch, and a slot that is free to be streamed from. Made anew for each connection,
 * because any of it may have changed meanwhile.
 *
 * A standby waits between the checks and the lock, so that a wrong configuration shows while another process leads. What
 * the checks found may be old when the lock comes, so they are made again then.
 */
import type pg from 'pg';
import type { Clock } from './clock.ts';
import type { Config } from './config/schema.ts';
import { columnMapping, requiredColumns } from './decoder/column-mapping.ts';
import { WalpostError } from './errors.ts';
import { LeaderLock, type LockHolder } from './leader/leader-lock.ts';
import type { Logger } from './observe/log.ts';
import { type CursorStore, readCursor } from './postgres/cursor-store.ts';
import { assertMigrated } from './postgres/migrate.ts';
import { markIncomplete } from './postgres/source-identity.ts';
import type { SlotHealing } from './relay-healing.ts';
import { RelayPools } from './relay-pools.ts';
import { takeOver } from './relay-takeover.ts';
import { ensurePublication } from './slot/publication.ts';
import { APPLICATION_NAME } from './slot/replication-client.ts';
import { checkServer, type ServerFacts } from './slot/server-checks.ts';
import { inspectSlot, slotProblem } from './slot/slot-state.ts';
import { checkSource } from './slot/source-checks.ts';

export interface Ground extends AsyncDisposable {
  /** For what is stored and read: parked events, dead letters, jobs. */
  readonly pool: pg.Pool;
  /** For what every delivery waits for, the snapshot and the cursor: never behind the statements of a sick sink. */
  readonly express: pg.Pool;
  /** Another one that breaks with the ground; whoever opens it ends it. */
  readonly openPool: (applicationName: string, max: number) => pg.Pool;
  readonly server: ServerFacts;
  readonly slot: string;
  /** The number of the source table. */
  readonly tableId: number;
  readonly cursor: CursorStore;
  /** The slot was lost: to be run before the stream starts. */
  readonly healing: SlotHealing | undefined;
  readonly lock: LeaderLock;
  /** Aborted with the reason when the connection must end at once: the lock is lost, or the server shuts down. */
  readonly broken: AbortSignal;
}

/** What a process that waits for the lock can be asked about. */
export interface Standby {
  readonly pool: pg.Pool;
  readonly slot: string;
  readonly holder: LockHolder | undefined;
}

export interface GroundOptions {
  readonly config: Config;
  readonly log: Logger;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** On a first start: also send the rows that are there already. */
  readonly deliverExisting: boolean;
  /** Another process leads; called at first, and again every few seconds. */
  readonly onStandby: (standby: Standby) => void;
}

/** Slots are named for the whole cluster, so the default carries the database's name. */
export function slotName(config: Config, database: string): string {
  return config.source.slot ?? `walpost_${database.toLowerCase().replace(/[^a-z0-9_]/g, '_')}`.slice(0, 63);
}

export async function openGround(options: GroundOptions): Promise<Ground> {
  const { config, log } = options;
  const broken = new AbortController();
  const pools = new RelayPools({ url: config.database.url, clock: options.clock, log, broken });
  const openPool = (applicationName: string, max: number): pg.Pool => pools.open(applicationName, max);
  const pool = openPool(APPLICATION_NAME, config.database.pool_size);
  const express = openPool(APPLICATION_NAME, EXPRESS_CONNECTIONS);
  let lock: LeaderLock | undefined;
  const release = async (): Promise<void> => {
    await pools.end();
    await lock?.[Symbol.asyncDispose](); // last, so that nothing of ours is under way when the next leader begins
  };
  try {
    const seen = await survey(config, pool, log);
    const begun = options.clock.now();
    lock = await awaitLock(seen.slot, pool, options);
    lock.lost.addEventListener('abort', () => broken.abort(lock?.lost.reason), { once: true });
    const waited = options.clock.now() - begun >= CHECKS_STAY_TRUE_MS;
    const { server, slot, tableId } = waited ? await survey(config, pool, log) : seen;
    const { clock, deliverExisting } = options;
    const taken = await takeOver({ config, log, clock, pool: express, server, slot, deliverExisting });
    lock.lost.throwIfAborted();
    return {
      pool,
      express,
      openPool,
      server,
      slot,
      tableId,
      ...taken,
      lock,
      broken: broken.signal,
      [Symbol.asyncDispose]: release,
    };
  } catch (error) {
    await release();
    throw error;
  }
}

/** One for snapshots, one for the cursor. */
const EXPRESS_CONNECTIONS = 2;

/**
 * Its publication comes from the migrations; that of another table is made before the first start. A missing one was
 * dropped after that, and to make it again would hide what was lost.
 */
const OWN_TABLE = 'walpost.outbox';

/** A lock that was free at once needs no second look. */
const CHECKS_STAY_TRUE_MS = 1_000;

type Survey = Pick<Ground, 'server' | 'slot' | 'tableId'>;

/** Everything that only a person can change is said here, by a standby too. */
async function survey(config: Config, pool: pg.Pool, log: Logger): Promise<Survey> {
  const { url } = config.database;
  const { publication, table, plugin } = config.source;
  const server = await checkServer({ url, ...(config.source.slot === undefined ? {} : { slot: config.source.slot }) });
  await assertMigrated(pool);
  const slot = slotName(config, server.database);
  const isFirst = table !== OWN_TABLE && (await readCursor(pool, slot)) === undefined;
  if (isFirst && (await ensurePublication({ db: pool, publication, table }))) {
    log.info({ publication, table }, 'publication created');
  }
  const columns = requiredColumns(columnMapping(config.source));
  const tableId = await checkSource({ db: pool, publication, table, columns }).catch(async (error: unknown) => {
    // Once it is logged again nothing would show that it was not.
    if (error instanceof WalpostError && error.code === 'SOURCE_UNLOGGED') await markIncomplete(pool, slot);
    throw error;
  });
  const state = await inspectSlot(pool, slot, plugin);
  const problem = slotProblem(state);
  if (problem && state.kind !== 'in_use' && state.kind !== 'lost') throw problem; // those are the leader's to judge
  return { server, slot, tableId };
}

function awaitLock(slot: string, pool: pg.Pool, options: GroundOptions): Promise<LeaderLock> {
  const { config, clock, signal, onStandby } = options;
  return LeaderLock.acquire(
    {
      url: config.database.url,
      slot,
      takeoverAfter: config.leader.takeover_after,
      clock,
      onWaiting: (holder) => onStandby({ pool, slot, holder }),
    },
    signal,
  );
}
