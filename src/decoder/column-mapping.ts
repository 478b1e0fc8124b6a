import type { Config } from '../config/schema.ts';
import { WalpostError } from '../errors.ts';

/** The fields of an event that a column of the outbox table can fill, by their names in the envelope. */
export const EVENT_FIELDS = [
  'event_id',
  'organization_id',
  'event_type',
  'event_version',
  'topic',
  'entity_type',
  'entity_id',
  'target',
  'idempotency_key',
  'payload',
  'headers',
  'created_at',
] as const;

export type EventField = (typeof EVENT_FIELDS)[number];

/** Event field to column; null where the table has none and the event gets a default. */
export type ColumnMapping = Readonly<Record<EventField, string | null>>;

const REQUIRED_FIELDS: readonly EventField[] = ['event_id', 'organization_id', 'event_type', 'payload'];

const WALPOST = Object.fromEntries(EVENT_FIELDS.map((field) => [field, field])) as Record<EventField, string>;

/** Debezium's outbox table; its event router makes a topic of each aggregate type, and so do we. */
const DEBEZIUM: ColumnMapping = {
  event_id: 'id',
  organization_id: null,
  event_type: 'type',
  event_version: null,
  topic: 'aggregatetype',
  entity_type: 'aggregatetype',
  entity_id: 'aggregateid',
  target: null,
  idempotency_key: null,
  payload: 'payload',
  headers: null,
  created_at: null,
};

const PRESETS: Readonly<Record<Config['source']['preset'], ColumnMapping>> = { walpost: WALPOST, debezium: DEBEZIUM };

/** Preset and overrides together; throws CONFIG_INVALID with all problems at once. */
export function columnMapping(source: Pick<Config['source'], 'preset' | 'columns'>): ColumnMapping {
  const mapping: Record<EventField, string | null> = { ...PRESETS[source.preset] };
  const problems: string[] = [];
  for (const [field, column] of Object.entries(source.columns)) {
    if (isEventField(field)) mapping[field] = column;
    else problems.push(`source.columns.${field} is no field of an event; there is ${EVENT_FIELDS.join(', ')}.`);
  }
  for (const field of REQUIRED_FIELDS) {
    if (mapping[field] === null) problems.push(`source.columns.${field} is missing: name the column that holds it.`);
  }
  if (problems.length > 0) throw new WalpostError('CONFIG_INVALID', { detail: problems.join(' ') });
  return mapping;
}

/** Every column that the mapping names, once; the table must have all of them when the relay starts. */
export function requiredColumns(mapping: ColumnMapping): string[] {
  return [...new Set(EVENT_FIELDS.map((field) => mapping[field]).filter((column) => column !== null))];
}

function isEventField(name: string): name is EventField {
  return (EVENT_FIELDS as readonly string[]).includes(name);
}
