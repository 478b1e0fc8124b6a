/**
 * Steps 1 to 3 of a start, made anew for each connection, because any of it may have changed since the last one:
 *
 *   1 checks        preflight.ts                            server, schema, source, slot
 *   2 leadership    ../../leader/leader-lock.ts             the lock of the slot; a standby waits here
 *   3 slot          takeover.ts, ../starts/prepare-slot.ts  the cursor row gets a new epoch, the slot can be streamed from
 */
import type pg from 'pg';
import type { Clock } from '../../clock.ts';
import type { Config } from '../../config/schema.ts';
import { WalpostError } from '../../errors.ts';
import { LeaderLock } from '../../leader/leader-lock.ts';
import type { Logger } from '../../observe/log.ts';
import { APPLICATION_NAME } from '../../slot/replication-client.ts';
import { decide, warnOfOthers } from '../starts/decide.ts';
import type { LeaderTerm, Standby } from '../term.ts';
import { TermPools } from './pools.ts';
import { type Preflight, preflight, type PreflightOptions } from './preflight.ts';
import { takeOver } from './takeover.ts';

export interface LeadershipOptions {
  readonly config: Config;
  readonly log: Logger;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Another process leads; called at first, and again every few seconds. */
  readonly onStandby: (standby: Standby) => void;
}

/** One for snapshots, one for the cursor. */
const CONTROL_CONNECTIONS = 2;
/**
 * What a leader opens beside database.pool_size, walsenders left out: the control pool, the lock, two for jobs, one that is woken,
 * one that claims the cursor, and two of the checks of a start, which a standby makes too.
 */
export const LEADER_CONNECTIONS = CONTROL_CONNECTIONS + 7;
/** After a longer wait for the lock the checks are made again. */
const CHECKS_STAY_TRUE_MS = 1_000;

export async function acquireLeadership(options: LeadershipOptions): Promise<LeaderTerm> {
  const { config, log, clock } = options;
  const revoked = new AbortController();
  const pools = new TermPools({ url: config.database.url, clock, log, revoked, ended: options.signal });
  const openPool = (applicationName: string, max: number): pg.Pool => pools.open(applicationName, max);
  const pool = openPool(APPLICATION_NAME, config.database.pool_size);
  const controlPool = openPool(APPLICATION_NAME, CONTROL_CONNECTIONS);
  let lock: LeaderLock | undefined;
  const release = async (): Promise<void> => {
    await pools.close();
    await lock?.[Symbol.asyncDispose](); // last: the next leader begins when nothing of this term is under way
  };
  try {
    const before = await preflight({ config, log, pool }); // 1
    const waitBegan = clock.now();
    lock = await awaitLock(before.slot, pool, options); // 2
    lock.lost.addEventListener('abort', () => revoked.abort(lock?.lost.reason), { once: true });
    const checks = await checkUnderLock(before, clock.now() - waitBegan, { config, log, pool });
    const signal = AbortSignal.any([options.signal, revoked.signal]); // no use in waiting for a second lock without the first
    const lockOf = (slot: string): Promise<LeaderLock> => awaitLock(slot, pool, { ...options, signal });
    const { server, start, slot, tableId } = checks;
    const taken = await takeOver({ config, log, clock, pool: controlPool, server, start, lockOf }); // 3
    lock.lost.throwIfAborted();
    await warnOfOthers({ config, log, pool, start });
    const connections = { pool, controlPool, openPool };
    const term = { ...connections, server, slot, tableId, ...taken, lock, revoked: revoked.signal };
    return { ...term, [Symbol.asyncDispose]: release };
  } catch (error) {
    await release();
    throw error;
  }
}

/**
 * The start is decided from what is read under the lock: another process may have led after the first look, however short the
 * wait was. The other checks are about what people change, so they are made again only after a longer wait.
 */
async function checkUnderLock(before: Preflight, waitedMs: number, options: PreflightOptions): Promise<Preflight> {
  const { config, pool } = options;
  const checks =
    waitedMs >= CHECKS_STAY_TRUE_MS ? await preflight(options) : { ...before, start: await decide(config, pool) };
  const found = [checks.slot, checks.start.slot].find((slot) => slot !== before.slot);
  if (found !== undefined) throw otherName(before.slot, found);
  return checks;
}

/** Two processes of different sources chose one name at the same time, and this one came second. */
function otherName(wanted: string, free: string): WalpostError {
  return new WalpostError('LEADERSHIP_LOST', { detail: `Slot "${wanted}" was taken meanwhile; "${free}" is free.` });
}

function awaitLock(slot: string, pool: pg.Pool, options: LeadershipOptions): Promise<LeaderLock> {
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
