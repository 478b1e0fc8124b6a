import { type Clock, pause } from '../clock.ts';
import { messageOf } from '../errors.ts';
import { type CursorClaim, CursorStore } from '../postgres/cursor/cursor-store.ts';
import { createPool } from '../postgres/pool.ts';
import type pg from 'pg';

export interface ClaimOptions {
  readonly pool: pg.Pool;
  readonly url: string;
  readonly claim: CursorClaim;
  readonly clock: Clock;
  /** The name under which leaders write. */
  readonly applicationName: string;
  /** A session that blocks the claim could not be ended. */
  readonly onError: (message: string) => void;
}

const PATIENCE_MS = 500;

const END_BLOCKERS = `
  SELECT pg_terminate_backend(a.pid)
    FROM unnest(pg_blocking_pids($1)) AS blocker (pid) JOIN pg_stat_activity a ON a.pid = blocker.pid
   WHERE a.application_name = $2`;

/**
 * Takes the next epoch. The older leader may have been suspended in the middle of a transaction on the cursor row, which would
 * block the claim. Its session is ended after a moment. What that transaction has not committed comes again.
 */
export async function claimEpoch(options: ClaimOptions): Promise<CursorStore> {
  const claimed = new AbortController();
  let ending: Promise<void> | undefined;
  const onSession = (pid: number): void => {
    ending = endBlockers(pid, options, claimed.signal).catch((error: unknown) => options.onError(messageOf(error)));
  };
  try {
    return await CursorStore.claim(options.pool, options.claim, onSession);
  } finally {
    claimed.abort();
    await ending;
  }
}

/** Over a connection of its own: the only one of the pool may be the one that waits. */
async function endBlockers(pid: number, options: ClaimOptions, signal: AbortSignal): Promise<void> {
  const { url, clock, applicationName } = options;
  await pause(clock, PATIENCE_MS, signal);
  if (signal.aborted) return;
  const pool = createPool(url, { applicationName, max: 1 });
  try {
    while (!signal.aborted) {
      await pool.query(END_BLOCKERS, [pid, applicationName]);
      await pause(clock, PATIENCE_MS, signal);
    }
  } finally {
    await pool.end();
  }
}
