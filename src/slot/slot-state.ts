import { WalpostError } from '../errors.ts';
import { parseLsn } from '../lsn.ts';
import type { Lsn } from '../lsn.ts';
import { ask } from '../postgres/queryable.ts';
import type { Queryable } from '../postgres/queryable.ts';

/** What pg_replication_slots says. Bytes are counted from the server's current write position; null is unknown. */
export interface SlotFacts {
  readonly name: string;
  readonly type: string;
  readonly plugin: string | null;
  readonly database: string | null;
  readonly restartLsn: Lsn | null;
  readonly confirmedFlushLsn: Lsn | null;
  /** reserved, extended, unreserved or lost. */
  readonly walStatus: string | null;
  /** Why the server gave the slot up (PG 17 and later). */
  readonly invalidationReason: string | null;
  /** WAL that the slot keeps on disk. */
  readonly retainedBytes: number | null;
  /** WAL that is not confirmed. */
  readonly unconfirmedBytes: number | null;
  /** WAL that may still be written before the slot is lost; null when there is no limit, and when it is lost. */
  readonly safeBytes: number | null;
  /** The server keeps WAL for slots without a limit. */
  readonly unlimited: boolean;
  readonly holder: SlotHolder | null;
}

/** The process that streams from the slot. Names are null where the role may not see them. */
export interface SlotHolder {
  readonly pid: number;
  readonly applicationName: string | null;
  readonly clientAddress: string | null;
}

export type SlotState =
  | { readonly kind: 'missing' }
  | {
      readonly kind: 'healthy' | 'in_use' | 'lost' | 'other_database' | 'other_plugin' | 'physical';
      readonly facts: SlotFacts;
    };

interface SlotRow {
  slot_type: string;
  plugin: string | null;
  database: string | null;
  restart_lsn: string | null;
  confirmed_flush_lsn: string | null;
  wal_status: string | null;
  invalidation_reason: string | null;
  retained: string | null;
  unconfirmed: string | null;
  safe_wal_size: string | null;
  unlimited: boolean;
  active_pid: number | null;
  application_name: string | null;
  client_addr: string | null;
  current_database: string;
}

// to_jsonb reads a column that only newer servers have.
const INSPECT = `
  SELECT s.slot_type, s.plugin, s.database, s.restart_lsn::text, s.confirmed_flush_lsn::text, s.wal_status,
         to_jsonb(s) ->> 'invalidation_reason' AS invalidation_reason,
         pg_wal_lsn_diff(here.lsn, s.restart_lsn)::text AS retained,
         pg_wal_lsn_diff(here.lsn, s.confirmed_flush_lsn)::text AS unconfirmed,
         s.safe_wal_size::text, current_setting('max_slot_wal_keep_size') = '-1' AS unlimited, s.active_pid,
         a.application_name, host(a.client_addr) AS client_addr, current_database()
    FROM pg_replication_slots s
         LEFT JOIN pg_stat_activity a ON a.pid = s.active_pid
         CROSS JOIN (SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
                                 ELSE pg_current_wal_lsn() END AS lsn) AS here
   WHERE s.slot_name = $1`;

/**
 * Looks at the slot. This is the truth behind the SQLSTATEs 55000 and 42704, which each stand for several of these
 * states. A plugin that is not given counts as the right one.
 */
export async function inspectSlot(db: Queryable, name: string, plugin?: string): Promise<SlotState> {
  const [row] = await ask<SlotRow>(db, INSPECT, [name]);
  if (!row) return { kind: 'missing' };
  const facts = factsOf(name, row);
  return { kind: judge(facts, row.current_database, plugin), facts };
}

function judge(facts: SlotFacts, database: string, plugin: string | undefined): Exclude<SlotState['kind'], 'missing'> {
  if (facts.type !== 'logical') return 'physical';
  if (facts.database !== database) return 'other_database';
  if (plugin !== undefined && facts.plugin !== plugin) return 'other_plugin';
  if (facts.walStatus === 'lost' || facts.invalidationReason !== null || facts.restartLsn === null) return 'lost';
  return facts.holder === null ? 'healthy' : 'in_use';
}

function factsOf(name: string, row: SlotRow): SlotFacts {
  const lsn = (text: string | null): Lsn | null => (text === null ? null : (parseLsn(text) ?? null));
  const bytes = (text: string | null): number | null => (text === null ? null : Number(text));
  return {
    name,
    type: row.slot_type,
    plugin: row.plugin,
    database: row.database,
    restartLsn: lsn(row.restart_lsn),
    confirmedFlushLsn: lsn(row.confirmed_flush_lsn),
    walStatus: row.wal_status,
    invalidationReason: row.invalidation_reason,
    retainedBytes: bytes(row.retained),
    unconfirmedBytes: bytes(row.unconfirmed),
    safeBytes: bytes(row.safe_wal_size),
    unlimited: row.unlimited,
    holder:
      row.active_pid === null
        ? null
        : { pid: row.active_pid, applicationName: row.application_name, clientAddress: row.client_addr },
  };
}

/** Why nobody can stream from a slot in this state; undefined when it is healthy or missing. */
export function slotProblem(state: SlotState): WalpostError | undefined {
  if (state.kind === 'missing' || state.kind === 'healthy') return undefined;
  const { facts } = state;
  const slot = `Slot "${facts.name}"`;
  switch (state.kind) {
    case 'in_use':
      return inUse(slot, facts);
    case 'lost':
      return new WalpostError('SLOT_LOST', { detail: `${slot}: ${lossReason(facts)}.` });
    case 'other_database':
      return new WalpostError('SLOT_OTHER_DATABASE', { detail: `${slot} belongs to database "${facts.database}".` });
    case 'other_plugin':
      return new WalpostError('SLOT_OTHER_PLUGIN', { detail: `${slot} was made for "${facts.plugin}".` });
    case 'physical':
      return new WalpostError('SLOT_OTHER_PLUGIN', {
        detail: `${slot} is a physical slot.`,
        remedy: 'Choose another name in source.slot.',
      });
  }
}

function lossReason(facts: SlotFacts): string {
  if (facts.invalidationReason !== null) return `invalidated by the server (${facts.invalidationReason})`;
  return facts.walStatus === 'lost' ? 'its wal_status is lost' : 'it has no restart_lsn';
}

function inUse(slot: string, facts: SlotFacts): WalpostError {
  const { holder } = facts;
  if (!holder) return new WalpostError('SLOT_IN_USE', { detail: `${slot}.` });
  const program = holder.applicationName ? ` "${holder.applicationName}"` : '';
  const address = holder.clientAddress ? ` from ${holder.clientAddress}` : '';
  return new WalpostError('SLOT_IN_USE', {
    detail: `${slot} is held by process ${holder.pid}${program}${address}.`,
    remedy:
      'Stop that process, or give this one a slot of its own in source.slot. ' +
      `If it is a leftover: SELECT pg_terminate_backend(${holder.pid});`,
  });
}
