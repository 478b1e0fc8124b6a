/**
 * The dead letters as the source of a scan: a redrive.
 *
 * Each letter goes to the sink that it was meant for, or through the routes when it never had one. It settles like any event,
 * and becomes a new dead letter when it fails again. So the old letter is deleted when the place of its page is saved. A letter
 * that still has no route stays. Letters that were stored after the job was requested are left alone, or a redrive would chase
 * its own failures.
 */
import type pg from 'pg';
import type { Event, Origin } from '../event.ts';
import { rfc3339Sql } from '../pg-time.ts';
import { databaseError } from '../postgres/database-error.ts';
import { storedEvent, type StoredEventRow } from '../stored-event.ts';
import type { Job } from './job.ts';
import { filterCondition, Values } from './job-filter.ts';
import type { ScanLimits, ScanPlace, ScanItem, ScanPage, ScanSource } from './scan.ts';

export interface DeadLetterScanOptions {
  readonly pool: pg.Pool;
  readonly job: Pick<Job, 'slot' | 'spec' | 'createdAt'>;
  /** Letters for other sinks stay where they are. */
  readonly sinks: readonly string[];
}

/** Which dead letters; without `createdAt` those that are there now. */
export type LetterChoice = Pick<Job, 'slot' | 'spec'> & { readonly createdAt?: string };

interface LetterRow extends StoredEventRow {
  readonly sink: string | null;
  readonly lane: string;
}

const COLUMNS = {
  organization: 'organization_id',
  eventType: 'event_type',
  topic: 'topic',
  eventId: 'event_id',
} as const;

export class DeadLetterScan implements ScanSource {
  private readonly options: DeadLetterScanOptions;

  constructor(options: DeadLetterScanOptions) {
    this.options = options;
  }

  async read(after: ScanPlace | null, origin: Origin, limits: ScanLimits): Promise<ScanPage> {
    const values = new Values();
    const sql = this.statement(after, limits, values);
    let rows: LetterRow[];
    try {
      ({ rows } = await this.options.pool.query<LetterRow>(sql, values.list));
    } catch (error) {
      throw databaseError(error, 'scanning the dead letters');
    }
    const last = rows.at(-1);
    const items = rows.map((row): ScanItem => {
      const item = eventOf(row, origin);
      return row.sink === null ? { item } : { item, at: { sink: row.sink, lane: row.lane } };
    });
    return {
      items,
      scanned: rows.length,
      place: last ? { xid: '0', seq: last.id } : after,
      last: last === undefined,
      keepsUnrouted: true,
      finish: (client, unrouted) => {
        const gone = items.flatMap((item, index) => (unrouted.has(item) ? [] : (rows[index]?.id ?? [])));
        return remove(client, gone);
      },
    };
  }

  private statement(after: ScanPlace | null, limits: ScanLimits, values: Values): string {
    const { job, sinks } = this.options;
    const conditions = [
      letterCondition(job, values),
      `id > ${values.add(after?.seq ?? '0')}::bigint`,
      `(sink IS NULL OR sink = ANY (${values.add(sinks)}::text[]))`,
    ];
    return `
      SELECT id::text, sink, lane, event_id, organization_id, event_type, event_version, topic, entity_type, entity_id, target,
             idempotency_key, payload, headers,
             ${rfc3339Sql('created_at')} AS created_at, ${rfc3339Sql('expires_at')} AS expires_at
        FROM (SELECT *, sum(octet_length(payload) + octet_length(headers)) OVER (ORDER BY id)
                        - octet_length(payload) - octet_length(headers) AS before
                FROM (SELECT * FROM walpost.dead_letters WHERE ${conditions.join(' AND ')}
                       ORDER BY id LIMIT ${values.add(limits.maxRows)}) AS first) AS page
       WHERE before < ${values.add(limits.maxBytes)} ORDER BY page.id`; // the plain id would be its text
  }
}

/** The dead letters that a redrive is about, whatever their sinks. */
export function letterCondition({ slot, spec, createdAt }: LetterChoice, values: Values): string {
  const conditions = [
    `slot = ${values.add(slot)}`,
    "reason <> 'poison' AND poison_row IS NULL AND redacted_at IS NULL",
    filterCondition(spec, COLUMNS, values),
  ];
  if (createdAt !== undefined) conditions.push(`stored_at <= ${values.add(createdAt)}::timestamptz`);
  if (spec.sinks) conditions.push(`sink = ANY (${values.add(spec.sinks)}::text[])`);
  if (spec.lanes) conditions.push(`lane = ANY (${values.add(spec.lanes)}::text[])`);
  if (spec.letters) conditions.push(`id = ANY (${values.add(spec.letters)}::bigint[])`);
  if (spec.storedBefore !== undefined) conditions.push(`stored_at < ${values.add(spec.storedBefore)}::timestamptz`);
  if (spec.reason !== undefined) conditions.push(`reason = ${values.add(spec.reason)}`);
  return conditions.join(' AND ');
}

async function remove(client: pg.ClientBase, ids: readonly string[]): Promise<void> {
  await client.query('DELETE FROM walpost.dead_letters WHERE id = ANY ($1::bigint[])', [ids]);
}

function eventOf(row: LetterRow, origin: Origin): Event {
  const size = Buffer.byteLength(row.payload) + Buffer.byteLength(row.headers);
  return { ...storedEvent(row, origin), ordinal: null, size, jobRow: row.id, parkedId: null };
}
