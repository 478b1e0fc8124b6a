/**
 * Whether the slot is the one that walpost left, and what is known when it is not.
 *
 * A slot has no birth certificate. But the cursor row is committed before each confirmation, so a slot that is confirmed
 * beyond the cursor was not confirmed by walpost: it was made again, or a failover kept the slot and lost rows of the
 * tables. Either way events lie between the cursor and the slot that the stream will not bring. An error's SQLSTATE is
 * never the judge: 55000 and 42704 each stand for several states, and pg_replication_slots knows which.
 *
 * Another timeline of the same cluster is no loss in itself: what is in the tables was written before the histories
 * parted. What a failover does to the slot shows in its position.
 */
import type { ErrorCode } from '../errors.ts';
import { formatLsn, type Lsn } from '../lsn.ts';
import type { ClusterIdentity } from '../postgres/cursor-store.ts';
import type { SlotState } from './slot-state.ts';

export interface FateQuestion {
  readonly slot: SlotState;
  /** What the cursor row says; the identity is null when this is its first claim. */
  readonly cursor: { readonly recorded: ClusterIdentity | null; readonly lsn: Lsn | null };
  readonly server: ClusterIdentity;
  /** The end of the server's WAL. */
  readonly walEnd: Lsn;
  /** There are checkpoints that know transactions which the server had not begun when they were loaded. */
  readonly futureKnown: boolean;
}

export type SlotLossCode = Extract<ErrorCode, 'SLOT_LOST' | 'SLOT_REPLACED' | 'CLUSTER_CHANGED' | 'CURSOR_AHEAD'>;

export interface SlotLoss {
  readonly code: SlotLossCode;
  /** One sentence. */
  readonly reason: string;
  /** Checkpoints still tell what was settled; false when positions and snapshots mean nothing any more. */
  readonly proves: boolean;
}

export type SlotFate =
  /** Stream from it. */
  | { readonly kind: 'sound' }
  /** Stream from it; the cursor has no position yet. */
  | { readonly kind: 'unknown'; readonly confirmed: Lsn }
  /** There was never a relay with this slot. */
  | { readonly kind: 'first' }
  /** Somebody must look: another database's, another plugin's, or one that is in use. */
  | { readonly kind: 'unfit' }
  | { readonly kind: 'lost'; readonly loss: SlotLoss };

export function slotFate(question: FateQuestion): SlotFate {
  const { slot, cursor } = question;
  if (slot.kind !== 'missing' && slot.kind !== 'lost' && slot.kind !== 'healthy') return { kind: 'unfit' };
  const history = historyLoss(question);
  if (history) return { kind: 'lost', loss: history };
  const known = cursor.recorded !== null && cursor.lsn !== null;
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
  return { kind: 'lost', loss: { code: 'SLOT_REPLACED', reason, proves: true } };
}

/** Positions that do not belong to this server, or not to its past. */
function historyLoss({ cursor, server, walEnd, futureKnown }: FateQuestion): SlotLoss | undefined {
  const { recorded, lsn } = cursor;
  if (recorded === null) return undefined;
  if (recorded.systemIdentifier !== server.systemIdentifier) {
    const reason = `The cursor belongs to cluster ${recorded.systemIdentifier}, and this is ${server.systemIdentifier}.`;
    return { code: 'CLUSTER_CHANGED', reason, proves: false };
  }
  if (futureKnown) {
    const reason = 'The checkpoints know transactions that the server had not begun when they were loaded.';
    return { code: 'CURSOR_AHEAD', reason, proves: false };
  }
  if (lsn === null || lsn <= walEnd) return undefined;
  const reason = `The cursor is at ${formatLsn(lsn)}, and the server's WAL ends at ${formatLsn(walEnd)}.`;
  return { code: 'CURSOR_AHEAD', reason, proves: false };
}

function lost(reason: string): SlotFate {
  return { kind: 'lost', loss: { code: 'SLOT_LOST', reason, proves: true } };
}
