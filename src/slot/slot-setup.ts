import { WalpostError } from '../errors.ts';
import { SQLSTATE, isSqlState } from '../postgres/sqlstate.ts';
import { ask } from '../postgres/queryable.ts';
import type { Queryable } from '../postgres/queryable.ts';
import { createSlot } from './slot-creation.ts';
import type { CreateSlotOptions } from './slot-creation.ts';
import { inspectSlot, slotProblem } from './slot-state.ts';
import type { SlotFacts } from './slot-state.ts';

export interface EnsuredSlot {
  readonly facts: SlotFacts;
  /** It was missing, and begins now. */
  readonly created: boolean;
}

/**
 * Gives back a slot that can be streamed from, made now if it was missing; any other state is an error with its remedy.
 * The publication must exist by then: a slot that is older than its publication cannot decode what lies in between.
 */
export async function ensureSlot(options: CreateSlotOptions): Promise<EnsuredSlot> {
  const before = await inspectSlot(options.db, options.slot, options.plugin);
  const created = before.kind === 'missing' && (await createUnlessThere(options));
  const state = before.kind === 'missing' ? await inspectSlot(options.db, options.slot, options.plugin) : before;
  const problem = slotProblem(state);
  if (problem) throw problem;
  if (state.kind === 'missing') throw new WalpostError('SLOT_LOST', { detail: `"${options.slot}" was dropped again.` });
  return { facts: state.facts, created };
}

async function createUnlessThere(options: CreateSlotOptions): Promise<boolean> {
  try {
    await using _slot = await createSlot(options);
    return true;
  } catch (error) {
    if (error instanceof WalpostError && isSqlState(error.cause, SQLSTATE.duplicateObject)) return false;
    throw error;
  }
}

/**
 * Ends the process that holds the slot, if it is still this one, and waits for the slot to be free. For what a broken
 * connection, or a leader that was stopped, left behind: the server itself would notice only after wal_sender_timeout.
 */
export async function endHolder(db: Queryable, slot: string, pid: number, timeout = 5_000): Promise<boolean> {
  const [row] = await ask<{ ended: boolean }>(
    db,
    'SELECT pg_terminate_backend(active_pid, $3) AS ended FROM pg_replication_slots WHERE slot_name = $1 AND active_pid = $2',
    [slot, pid, timeout],
  );
  return row?.ended ?? true;
}

/** Drops the slot if it is there and no process streams from it. */
export async function dropSlot(db: Queryable, slot: string): Promise<boolean> {
  const rows = await ask(
    db,
    'SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1 AND active_pid IS NULL',
    [slot],
  );
  return rows.length > 0;
}
