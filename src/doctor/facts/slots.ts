/** The slot of the relay, and all others of the server. */
import type pg from 'pg';
import type { Config } from '../../config/schema.ts';
import { HOLDER, type LockHolder } from '../../leader/lock-holder.ts';
import { type Lsn, parseLsn } from '../../lsn.ts';
import { checkpointsAheadOfServer } from '../../postgres/cursor/checkpoint-lookup.ts';
import { lookAtSource, type SourceLook } from '../../postgres/source/completeness.ts';
import { ask, type Queryable } from '../../postgres/queryable.ts';
import { walEnd } from '../../relay/starts/prepare-slot.ts';
import { diagnoseSlot, type SlotDiagnosis } from '../../slot/slot-diagnosis.ts';
import { inspectSlot, type SlotState } from '../../slot/slot-state.ts';

export interface OwnSlot {
  readonly name: string;
  readonly state: SlotState;
  readonly diagnosis: SlotDiagnosis;
  /** Who holds the leader's lock. */
  readonly holder: LockHolder | undefined;
  /** Undefined where there is no cursor yet. */
  readonly source: SourceLook | undefined;
}

interface CursorRow {
  lsn: string | null;
  epoch: string;
  system: string;
}

const CURSOR = `
  SELECT k.lsn::text, k.epoch::text, k.system_identifier AS system FROM walpost.cursor AS k WHERE k.slot = $1`;

/** The slot is read before the cursor, which the relay moves first: so a relay at work never looks like a slot that is ahead. */
export async function readOwnSlot(pool: pg.Pool, name: string, source: Config['source']): Promise<OwnSlot> {
  const state = await inspectSlot(pool, name, source.plugin);
  const [cursor] = await ask<CursorRow>(pool, CURSOR, [name]);
  const [holder] = await ask<LockHolder>(pool, HOLDER, [name]);
  const lsn: Lsn | null = cursor?.lsn == null ? null : (parseLsn(cursor.lsn) ?? null);
  const checkpointsAhead =
    cursor !== undefined && (await checkpointsAheadOfServer(pool, { slot: name, systemIdentifier: cursor.system }));
  const diagnosis = diagnoseSlot({
    slot: state.kind === 'in_use' ? { ...state, kind: 'healthy' } : state,
    cursor: { lsn },
    walEnd: await walEnd(pool),
    checkpointsAhead,
  });
  const look = cursor && (await lookAtSource(pool, { slot: name, epoch: BigInt(cursor.epoch) }, source));
  return { name, state, diagnosis, holder, source: look };
}

/** A slot of the server, whoever reads it. */
export interface SlotEntry {
  readonly name: string;
  readonly type: string;
  readonly database: string | null;
  readonly active: boolean;
  /** Bytes; null when it keeps nothing. */
  readonly retained: number | null;
  /** As pg_size_pretty says it. */
  readonly retainedText: string | null;
  /** PG 17 and later; null where the version cannot tell. */
  readonly failover: boolean | null;
  /** PG 17 and later, of a standby: the server brings it from its primary. */
  readonly synced: boolean | null;
  readonly inactiveSince: string | null;
}

const SLOTS = `
  SELECT s.slot_name::text AS name, s.slot_type AS type, s.database::text, s.active,
         pg_wal_lsn_diff(here.lsn, s.restart_lsn)::float8 AS retained,
         pg_size_pretty(pg_wal_lsn_diff(here.lsn, s.restart_lsn)) AS "retainedText",
         (to_jsonb(s) ->> 'failover')::boolean AS failover, (to_jsonb(s) ->> 'synced')::boolean AS synced,
         to_char((to_jsonb(s) ->> 'inactive_since')::timestamptz AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI') AS "inactiveSince"
    FROM pg_replication_slots AS s
         CROSS JOIN (SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
                                 ELSE pg_current_wal_lsn() END AS lsn) AS here
   WHERE NOT s.temporary ORDER BY retained DESC NULLS LAST, name`;

export function readSlots(db: Queryable): Promise<SlotEntry[]> {
  return ask<SlotEntry>(db, SLOTS);
}

/** A transaction that has written something and has not ended. */
export interface OpenTransaction {
  /** null for a prepared one. */
  readonly pid: number | null;
  /** Of a prepared one. */
  readonly gid: string | null;
  readonly role: string | null;
  readonly application: string | null;
  readonly database: string | null;
  readonly state: string | null;
  /** null where the role may not see it. */
  readonly since: string | null;
  readonly seconds: number | null;
}

/** Of all databases: the server keeps its log from the oldest of them on. */
const TRANSACTIONS = `
  SELECT a.pid, NULL AS gid, a.usename::text AS role, a.application_name AS application, a.datname::text AS database, a.state,
         to_char(a.xact_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') AS since,
         extract(epoch FROM clock_timestamp() - a.xact_start)::float8 AS seconds
    FROM pg_stat_activity AS a WHERE a.backend_xid IS NOT NULL AND a.pid <> pg_backend_pid()
   UNION ALL
  SELECT NULL, p.gid, p.owner::text, NULL, p.database::text, 'prepared', to_char(p.prepared AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'),
         extract(epoch FROM clock_timestamp() - p.prepared)::float8
    FROM pg_prepared_xacts AS p
   ORDER BY seconds DESC NULLS LAST`;

export function readTransactions(db: Queryable): Promise<OpenTransaction[]> {
  return ask<OpenTransaction>(db, TRANSACTIONS);
}
