/** Everything that the database knows of one event: its row in the source, where it is stored, and what became of each attempt. */
import type pg from 'pg';
import { rfc3339Sql } from '../pg-time.ts';
import { databaseError } from '../postgres/database-error.ts';
import { quoteIdentifier, quoteQualified } from '../postgres/identifiers.ts';
import { type ColumnMapping, EVENT_FIELDS, type EventField } from '../postgres/source/column-mapping.ts';
import { OWN_TABLE } from '../postgres/own-table.ts';
import { presentMapping } from '../postgres/source/present-mapping.ts';
import { SQLSTATE, sqlStateOf } from '../postgres/sqlstate.ts';

/** Fields as text, by the names of the envelope. */
export type StoryFields = Readonly<Partial<Record<EventField, string | null>>>;

/** One thing that happened to the event. */
export interface StoryStep {
  /** RFC 3339; null when it is not known. */
  readonly at: string | null;
  /** created, committed, parked, dead, or the outcome of an attempt. */
  readonly step: string;
  readonly sink: string | null;
  /** Which lane of the tenant, such as an endpoint; '' is its own, null where there is no sink. */
  readonly lane: string | null;
  readonly attempt: number | null;
  readonly reason: string | null;
  readonly job: string | null;
  /** Of a dead letter. */
  readonly letter: string | null;
}

export interface EventStory {
  /** From the row, else from where it is stored; null when neither is there. */
  readonly fields: StoryFields | null;
  /** What is left of a row that was pruned: id, tenant, type and time; null otherwise. */
  readonly pruned: StoryFields | null;
  /** The row is in the source table. */
  readonly inTable: boolean;
  /** A settled checkpoint proves that it is delivered or stored; null when that cannot be told. */
  readonly settled: boolean | null;
  readonly steps: readonly StoryStep[];
}

export interface StorySource {
  readonly table: string;
  readonly mapping: ColumnMapping;
}

/** Undefined column; text that is no value of the type of the id, or a number that is too large for it. */
const NO_SUCH_COLUMN = '42703';
const NO_ID = new Set<string | undefined>(['22P02', SQLSTATE.numericValueOutOfRange]);

const STORED = `
  SELECT ${rfc3339Sql('committed_at')} AS committed_at, event_id, organization_id, event_type, event_version::text, topic, entity_type,
         entity_id, target, idempotency_key, created_at::text, expires_at::text, payload, headers, %s AS at, '%s' AS step, sink, lane, attempts AS attempt,
         reason, job, letter
    FROM (%s) AS stored WHERE slot = $1 AND event_id = $2 ORDER BY at`;
const PARKED = `SELECT p.*, NULL::integer AS attempts, l.reason AS reason, NULL::text AS letter
                  FROM walpost.parked AS p LEFT JOIN walpost.lanes AS l
                       ON (l.slot, l.sink, l.organization_id, l.lane) = (p.slot, p.sink, p.organization_id, p.lane)`;
const DEAD = `SELECT d.slot, d.lane, d.committed_at, d.event_id, d.organization_id, d.event_type, d.event_version, d.topic, d.entity_type,
                     d.entity_id, d.target, d.idempotency_key, d.created_at, d.expires_at, d.payload, d.headers, d.stored_at, d.sink, d.attempts,
                     d.reason || ': ' || d.detail AS reason, NULL::text AS job, d.id::text AS letter FROM walpost.dead_letters AS d`;
/** By the tenant where it is known: the log has an index of it. */
const LOG = `
  SELECT ${rfc3339Sql('at')} AS at, outcome AS step, sink, lane, attempt, reason, job, NULL AS letter FROM walpost.delivery_log
   WHERE slot = $1 AND $2 = ANY (event_ids) AND ($3::text IS NULL OR organization_id = $3) ORDER BY id`;

const PRUNED = `SELECT event_id::text, organization_id::text, event_type, created_at::text FROM walpost.pruned_events WHERE event_id = $1`;

type StoredRow = StoryFields & StoryStep & { readonly committed_at: string | null };

export async function readEventStory(
  pool: pg.Pool,
  source: StorySource,
  { slot, id }: { readonly slot: string; readonly id: string },
): Promise<EventStory | undefined> {
  try {
    const row = await readRow(pool, source, id);
    const parked = await pool.query<StoredRow>(storedSql(rfc3339Sql('parked_at'), 'parked', PARKED), [slot, id]);
    const dead = await pool.query<StoredRow>(storedSql(rfc3339Sql('stored_at'), 'dead', DEAD), [slot, id]);
    const stored = [...parked.rows, ...dead.rows];
    const pruned = row ? null : await readPruned(pool, source, id);
    const fields = row ?? (stored[0] ? fieldsOf(stored[0]) : null);
    const known = fields ?? pruned;
    const log = await pool.query<StoryStep & object>(LOG, [slot, id, known?.organization_id ?? null]);
    if (!known && log.rows.length === 0) return undefined;
    const steps = [...startOf(known, stored[0]), ...[...log.rows, ...stored.map(stepOf)].toSorted(byTime)];
    // Only proven rows are pruned.
    const settled = row ? await isSettled(pool, source, id) : pruned && true;
    return { fields, pruned, inTable: row !== null, settled, steps };
  } catch (error) {
    throw databaseError(error, 'looking for an event');
  }
}

const storedSql = (at: string, step: string, rows: string): string =>
  [at, step, rows].reduce((sql, part) => sql.replace('%s', () => part), STORED);

/** The id is compared as the type of its column, so that an index is used. */
async function readRow(pool: pg.Pool, { table, mapping }: StorySource, id: string): Promise<StoryFields | null> {
  const known = Object.entries(await presentMapping(pool, table, mapping)).filter(([, column]) => column !== null);
  const columns = known.map(([field, column]) => `${quoteIdentifier(column ?? '')}::text AS ${field}`).join(', ');
  const sql = `SELECT ${columns} FROM ${quoteQualified(table)} WHERE ${idColumn(mapping)} = $1 LIMIT 1`;
  const { rows } = await pool.query<StoryFields & object>(sql, [id]).catch(noRow);
  return rows[0] ?? null;
}

async function readPruned(pool: pg.Pool, { table }: StorySource, id: string): Promise<StoryFields | null> {
  if (table !== OWN_TABLE) return null;
  const { rows } = await pool.query<StoryFields & object>(PRUNED, [id]).catch(noRow);
  return rows[0] ?? null;
}

async function isSettled(pool: pg.Pool, { table, mapping }: StorySource, id: string): Promise<boolean | null> {
  const sql = `SELECT walpost.is_proven(created_xid) AS proven FROM ${quoteQualified(table)} WHERE ${idColumn(mapping)} = $1 LIMIT 1`;
  const { rows } = await pool.query<{ proven: boolean }>(sql, [id]).catch(noRow);
  return rows[0]?.proven ?? null;
}

function noRow(error: unknown): { rows: never[] } {
  const state = sqlStateOf(error);
  if (NO_ID.has(state) || state === NO_SUCH_COLUMN) return { rows: [] };
  throw error;
}

const idColumn = (mapping: ColumnMapping): string => quoteIdentifier(mapping.event_id ?? '');

/** The two that hold most come last. */
const STORED_FIELDS: readonly EventField[] = [
  ...EVENT_FIELDS.filter((field) => field !== 'headers' && field !== 'payload'),
  'headers',
  'payload',
];

function fieldsOf(row: StoredRow): StoryFields {
  return Object.fromEntries(STORED_FIELDS.map((field) => [field, row[field] ?? null]));
}

function startOf(fields: StoryFields | null, stored: StoredRow | undefined): StoryStep[] {
  const step = (at: string | null | undefined, name: string): StoryStep[] =>
    at == null
      ? []
      : [{ at, step: name, sink: null, lane: null, attempt: null, reason: null, job: null, letter: null }];
  return [...step(fields?.created_at, 'created'), ...step(stored?.committed_at, 'committed')];
}

function stepOf({ at, step, sink, lane, attempt, reason, job, letter }: StoredRow): StoryStep {
  return { at, step, sink, lane, attempt, reason, job, letter };
}

function byTime(one: StoryStep, other: StoryStep): number {
  return (one.at ?? '') < (other.at ?? '') ? -1 : 1;
}
