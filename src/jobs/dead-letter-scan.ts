/**
 * The dead letters as a source of a scan: a redrive.
 *
 * Each goes to the sink that it was meant for, or through the routes when it never had one. It is settled like any event;
 * when it fails again it is a new dead letter. So the old one is deleted with the place of its page. Letters that came
 * after the job was asked for are left alone, or a redrive would chase its own failures.
 */
import type pg from 'pg';
import type { Event, Origin } from '../event.ts';
import { databaseError } from '../postgres/database-error.ts';
import { textToWire } from '../wire-text.ts';
import type { Job } from './job.ts';
import { filterCondition, Values } from './job-filter.ts';
import type { PageLimits, Place, ScanItem, ScanPage, ScanSource } from './scan.ts';

export interface DeadLetterScanOptions {
  readonly pool: pg.Pool;
  readonly job: Pick<Job, 'slot' | 'spec' | 'createdAt'>;
  /** Letters for other sinks stay where they are. */
  readonly sinks: readonly string[];
}

interface LetterRow {
  readonly id: string;
  readonly sink: string | null;
  readonly event_id: string;
  readonly organization_id: string;
  readonly event_type: string;
  readonly event_version: number;
  readonly topic: string;
  readonly entity_type: string | null;
  readonly entity_id: string | null;
  readonly target: string | null;
  readonly idempotency_key: string | null;
  readonly payload: string;
  readonly headers: string;
  readonly created: string | null;
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

  async read(after: Place | null, origin: Origin, limits: PageLimits): Promise<ScanPage> {
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
      return row.sink === null ? { item } : { item, at: row.sink };
    });
    return {
      items,
      scanned: rows.length,
      place: last ? { xid: '0', seq: last.id } : after,
      last: last === undefined,
      finish: (client) =>
        remove(
          client,
          rows.map(({ id }) => id),
        ),
    };
  }

  private statement(after: Place | null, limits: PageLimits, values: Values): string {
    const { slot, spec, createdAt } = this.options.job;
    const conditions = [
      `slot = ${values.add(slot)}`,
      `id > ${values.add(after?.seq ?? '0')}::bigint`,
      `stored_at <= ${values.add(createdAt)}::timestamptz`,
      "reason <> 'poison'",
      `(sink IS NULL OR sink = ANY (${values.add(this.options.sinks)}::text[]))`,
      filterCondition(spec, COLUMNS, values),
    ];
    if (spec.sinks) conditions.push(`sink = ANY (${values.add(spec.sinks)}::text[])`);
    if (spec.letters) conditions.push(`id = ANY (${values.add(spec.letters)}::bigint[])`);
    if (spec.storedBefore !== undefined) conditions.push(`stored_at < ${values.add(spec.storedBefore)}::timestamptz`);
    if (spec.reason !== undefined) conditions.push(`reason = ${values.add(spec.reason)}`);
    return `
      SELECT id::text, sink, event_id, organization_id, event_type, event_version, topic, entity_type, entity_id, target,
             idempotency_key, payload, headers,
             to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created
        FROM (SELECT *, sum(octet_length(payload) + octet_length(headers)) OVER (ORDER BY id)
                        - octet_length(payload) - octet_length(headers) AS before
                FROM (SELECT * FROM walpost.dead_letters WHERE ${conditions.join(' AND ')}
                       ORDER BY id LIMIT ${values.add(limits.maxRows)}) AS first) AS page
       WHERE before < ${values.add(limits.maxBytes)} ORDER BY page.id`; // the plain id would be its text
  }
}

async function remove(client: pg.ClientBase, ids: readonly string[]): Promise<void> {
  await client.query('DELETE FROM walpost.dead_letters WHERE id = ANY ($1::bigint[])', [ids]);
}

function eventOf(row: LetterRow, origin: Origin): Event {
  return {
    kind: 'event',
    eventId: row.event_id,
    organizationId: row.organization_id,
    eventType: row.event_type,
    eventVersion: row.event_version,
    topic: row.topic,
    entityType: row.entity_type,
    entityId: row.entity_id,
    target: row.target,
    idempotencyKey: row.idempotency_key,
    payload: textToWire(row.payload),
    headers: textToWire(row.headers),
    createdAt: row.created,
    origin,
    ordinal: null,
    size: Buffer.byteLength(row.payload) + Buffer.byteLength(row.headers),
    jobRow: row.id,
    parkedId: null,
  };
}
