/**
 * A slot that cannot go on. Until Postgres 18 the server looks publications up in the catalog of the time at which a change
 * was written. A row that was written while the publication was missing is an error, at each new try, even though the
 * publication is back by now: the slot stands before that row for ever, and keeps the WAL behind it.
 *
 * So the slot is given up as if it was lost: healing makes it anew, and reads from the table what it held.
 */
import { WalpostError } from './errors.ts';
import { SQLSTATE, isSqlState } from './postgres/sqlstate.ts';
import type { RelayOptions } from './relay.ts';
import { commitHealing } from './relay-slot.ts';
import { checkSource } from './slot/source-checks.ts';
import { inspectSlot } from './slot/slot-state.ts';

type Surroundings = Pick<RelayOptions, 'config' | 'log' | 'ground'>;

/** The error that the connection ends with, when the stream has ended with this one: once the healing is ordered, another. */
export async function judgeStreamError(error: unknown, { config, log, ground }: Surroundings): Promise<unknown> {
  const cause = error instanceof WalpostError ? error.cause : undefined;
  if (!isSqlState(cause, SQLSTATE.undefinedObject) || ground.broken.aborted || ground.healing) return error;
  const { pool, slot } = ground;
  const { publication, table, plugin, on_slot_lost: policy } = config.source;
  await checkSource({ db: pool, publication, table, columns: [] }); // what is missing now has an error of its own
  const { kind } = await inspectSlot(pool, slot, plugin);
  if (kind !== 'healthy' && kind !== 'in_use') return error;
  const stuck = new WalpostError('SLOT_STUCK', { detail: `Slot "${slot}".`, cause });
  if (policy === 'stop') return stuck;
  log.error({ slot, code: stuck.code }, stuck.message);
  await commitHealing(ground, { reason: stuck.message, proves: true });
  return new WalpostError('CONNECTION_LOST', { detail: 'The slot is made anew.', cause: stuck });
}
