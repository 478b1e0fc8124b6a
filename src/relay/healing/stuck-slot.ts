/**
 * A slot that cannot go on. Until Postgres 18 the server looks publications up in the catalog of the time at which a change
 * was written. A row that was written while the publication was missing is an error, at each new try, even though the
 * publication is back by now: the slot stands before that row for ever, and keeps the WAL from there on.
 *
 * So the slot is given up as if it was lost: healing recreates it, and reads from the table what it held.
 */
import { WalpostError } from '../../errors.ts';
import { SQLSTATE, isSqlState } from '../../postgres/sqlstate.ts';
import type { RelayOptions } from '../dependencies.ts';
import { enqueueHealJob } from './heal-job.ts';
import { checkSource } from '../../postgres/source/source-checks.ts';
import { inspectSlot } from '../../slot/slot-state.ts';

type StreamErrorOptions = Pick<RelayOptions, 'config' | 'log' | 'term'>;

/**
 * The error to end the connection with, given the error of the stream. For a stuck slot it enqueues the heal job, and gives
 * back an error that makes the relay connect again.
 */
export async function judgeStreamError(error: unknown, options: StreamErrorOptions): Promise<unknown> {
  const { config, log, term } = options;
  const cause = error instanceof WalpostError ? error.cause : undefined;
  // Where this connection healed, the slot is new, or its job is still open: the next connection finds out which.
  if (!isSqlState(cause, SQLSTATE.undefinedObject) || term.revoked.aborted || term.healing) return error;
  const { pool, slot } = term;
  const { publication, table, plugin, row_filter: rowFilter, on_slot_lost: policy } = config.source;
  await checkSource({ db: pool, publication, table, columns: [], plugin, slot, rowFilter }); // throws what is still missing
  const { kind } = await inspectSlot(pool, slot, plugin);
  if (kind !== 'healthy' && kind !== 'in_use') return error;
  const stuck = new WalpostError('SLOT_STUCK', { detail: `Slot "${slot}".`, cause });
  if (policy === 'stop') return stuck;
  log.error({ slot, code: stuck.code }, stuck.message);
  await enqueueHealJob(term, { reason: stuck.message, historyEnds: false });
  return new WalpostError('CONNECTION_LOST', { detail: 'The slot is made anew.', cause: stuck });
}
