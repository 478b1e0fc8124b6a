/**
 * Diagnoses whether the slot is still the one that walpost confirmed, and what can be used when it is not.
 *
 * Postgres does not record when a slot was created. But the cursor row is committed before each confirmation, so a slot that is
 * confirmed beyond the cursor was not confirmed by walpost: it was recreated, or a failover kept the slot and lost rows of the
 * tables. In both cases the stream will not bring the events between the cursor and the slot. The SQLSTATE of an error is not
 * used: 55000 and 42704 each stand for several states, and pg_replication_slots tells which.
 *
 * Another timeline of the same cluster is not a loss in itself, because the rows in the tables were written before the
 * timelines diverged. The effect of a failover on the slot shows in the slot's position.
 */
import type { ErrorCode } from '../errors.ts';
import { formatLsn, type Lsn } from '../lsn.ts';
import type { SlotState } from './slot-state.ts';

export interface SlotEvidence {
  readonly slot: SlotState;
  /** The cursor row. The start has checked that it belongs to this cluster: see relay/starts/start.ts. */
  readonly cursor: { readonly lsn: Lsn | null };
  /** The end of the server's WAL. */
  readonly walEnd: Lsn;
  /** Checkpoints know transactions that the server had not begun when the checkpoints were loaded. */
  readonly checkpointsAhead: boolean;
}

export type SlotLossCode = Extract<ErrorCode, 'SLOT_LOST' | 'SLOT_REPLACED' | 'CURSOR_AHEAD'>;

export interface SlotLoss {
  readonly code: SlotLossCode;
  /** One sentence. */
  readonly reason: string;
  /** Positions and snapshots of before mean nothing any more, so no checkpoint tells what was settled. */
  readonly historyEnds: boolean;
}

export type SlotDiagnosis =
  /** Stream from it. */
  | { readonly kind: 'sound' }
  /** Stream from it; the cursor has no position yet. */
  | { readonly kind: 'unknown'; readonly confirmed: Lsn }
  /** There was never a relay with this slot. */
  | { readonly kind: 'first' }
  /** A person is needed: it belongs to another database or plugin, or it is in use. */
  | { readonly kind: 'unfit' }
  | { readonly kind: 'lost'; readonly loss: SlotLoss };

export function diagnoseSlot(evidence: SlotEvidence): SlotDiagnosis {
  const { slot, cursor } = evidence;
  if (slot.kind !== 'missing' && slot.kind !== 'lost' && slot.kind !== 'healthy') return { kind: 'unfit' };
  const history = historyLoss(evidence);
  if (history) return { kind: 'lost', loss: history };
  const known = cursor.lsn !== null;
  if (slot.kind === 'missing') return known ? lost('The slot is missing.') : { kind: 'first' };
  const { facts } = slot;
  if (slot.kind === 'lost') {
    const why = facts.invalidationReason ?? (facts.walStatus === 'lost' ? 'its wal_status is lost' : 'no restart_lsn');
    return known ? lost(`The server gave the slot up (${why}).`) : { kind: 'first' };
  }
  const confirmed = facts.confirmedFlushLsn;
  if (confirmed === null) return { kind: 'sound' };
  if (cursor.lsn === null) return { kind: 'unknown', confirmed };
  if (confirmed <= cursor.lsn) return { kind: 'sound' };
  const reason = `The slot is at ${formatLsn(confirmed)}, and walpost has confirmed ${formatLsn(cursor.lsn)} at most.`;
  return { kind: 'lost', loss: { code: 'SLOT_REPLACED', reason, historyEnds: false } };
}

/** Positions that do not belong to the past of this server. */
function historyLoss({ cursor, walEnd, checkpointsAhead }: SlotEvidence): SlotLoss | undefined {
  const { lsn } = cursor;
  if (checkpointsAhead) {
    const reason = 'The checkpoints know transactions that the server had not begun when they were loaded.';
    return { code: 'CURSOR_AHEAD', reason, historyEnds: true };
  }
  if (lsn === null || lsn <= walEnd) return undefined;
  const reason = `The cursor is at ${formatLsn(lsn)}, and the server's WAL ends at ${formatLsn(walEnd)}.`;
  return { code: 'CURSOR_AHEAD', reason, historyEnds: true };
}

function lost(reason: string): SlotDiagnosis {
  return { kind: 'lost', loss: { code: 'SLOT_LOST', reason, historyEnds: false } };
}
