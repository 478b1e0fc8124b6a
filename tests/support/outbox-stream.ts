import { columnMapping, EVENT_FIELDS, type EventField } from '../../src/postgres/source/column-mapping.ts';
import type { DecoderHooks } from '../../src/decoder/decoder-options.ts';
import { createPgoutputDecoder } from '../../src/decoder/pgoutput.ts';
import type { Event, Poison } from '../../src/event.ts';
import type { Decoder } from '../../src/pipeline.ts';
import { beginPlain } from './plain-origin.ts';
import { beginBytes, type Cell, insertBytes, OID, relationBytes } from './pgoutput-bytes.ts';

/** The columns of walpost.outbox that fields come from, in the order of EVENT_FIELDS. */
export const OUTBOX_COLUMNS: readonly (readonly [EventField, number])[] = EVENT_FIELDS.map((field) => [
  field,
  typeOf(field),
]);

function typeOf(field: EventField): number {
  if (field === 'event_id' || field === 'organization_id') return OID.uuid;
  if (field === 'payload' || field === 'headers') return OID.jsonb;
  if (field === 'event_version') return OID.int2;
  return field === 'created_at' || field === 'expires_at' ? OID.timestamptz : OID.text;
}

const ROW: Readonly<Record<EventField, Cell>> = {
  event_id: '0193f0c4-0000-7000-8000-000000000001',
  organization_id: '3f1c7c9e-8a44-4f0e-9d4b-0a6f3f9f0001',
  event_type: 'job.completed',
  event_version: '2',
  topic: 'cataloging',
  entity_type: 'cataloging_job',
  entity_id: '17',
  target: null,
  idempotency_key: null,
  payload: '{"n": 1}',
  headers: '{"traceparent": "00-1"}',
  created_at: '2026-11-20 14:00:00.123456+00',
  expires_at: null,
};

export function outboxCells(fields: Partial<Record<EventField, Cell>> = {}): Cell[] {
  const row = { ...ROW, ...fields };
  return EVENT_FIELDS.map((field) => row[field]);
}

export function outboxDecoder(options: Partial<DecoderHooks> & { readonly maxRowBytes?: number } = {}): Decoder {
  return createPgoutputDecoder({
    beginTransaction: beginPlain,
    ...options,
    mapping: columnMapping({ preset: 'walpost', columns: {} }),
    table: 'walpost.outbox',
  });
}

export interface DecodeRowOptions {
  readonly columns?: readonly (readonly [name: string, oid: number])[];
  readonly decoder?: Decoder;
  /** Messages before the relation's. */
  readonly before?: readonly Buffer[];
}

/** Decodes one row in a transaction of its own, through a fresh decoder. */
export function decodeRow(cells: readonly Cell[], options: DecodeRowOptions = {}): Event | Poison {
  const { columns = OUTBOX_COLUMNS, decoder = outboxDecoder(), before = [] } = options;
  for (const message of [beginBytes(), ...before, relationBytes({ columns })]) decoder.decode(message);
  const step = decoder.decode(insertBytes(cells));
  if (step?.kind !== 'event' && step?.kind !== 'poison') throw new Error(`An Insert gave ${step?.kind ?? 'nothing'}.`);
  return step;
}
