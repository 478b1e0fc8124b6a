import { WalpostError } from '../../errors.ts';

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
  'expires_at',
] as const;

export type EventField = (typeof EVENT_FIELDS)[number];

/** Event field to column; null where the table has none and the event gets a default. */
export type ColumnMapping = Readonly<Record<EventField, string | null>>;

const REQUIRED_FIELDS: readonly EventField[] = ['event_id', 'organization_id', 'event_type', 'payload'];
/** A preset names their columns, and a table that was made before them lacks those. Only the configuration asks for them. */
export const OPTIONAL_FIELDS: readonly EventField[] = ['expires_at'];

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
  expires_at: null,
};

export interface ColumnOptions {
  readonly preset: 'walpost' | 'debezium';
  /** Event field to column, as the configuration has them. */
  readonly columns: Readonly<Record<string, string | null>>;
}

const PRESETS: Readonly<Record<ColumnOptions['preset'], ColumnMapping>> = { walpost: WALPOST, debezium: DEBEZIUM };

/** How a payload is read: by the type of its column, or as Debezium's event router reads it. */
export type PayloadForm = 'typed' | 'embedded';

export function payloadForm({ preset }: Pick<ColumnOptions, 'preset'>): PayloadForm {
  return preset === 'debezium' ? 'embedded' : 'typed';
}

/** Preset and overrides together; throws CONFIG_INVALID with all problems at once. */
export function columnMapping(source: ColumnOptions): ColumnMapping {
  const problems = [...columnProblems(source)].map(({ field, problem }) => `source.columns.${field} ${problem}.`);
  if (problems.length > 0) throw new WalpostError('CONFIG_INVALID', { detail: problems.join(' ') });
  return mappingOf(source);
}

/** What stands in the way of a mapping, field by field. */
export function* columnProblems(
  source: ColumnOptions,
): Generator<{ readonly field: string; readonly problem: string }> {
  for (const field of Object.keys(source.columns)) {
    if (!isEventField(field)) yield { field, problem: `is no field of an event; there is ${EVENT_FIELDS.join(', ')}` };
  }
  const mapping = mappingOf(source);
  for (const field of REQUIRED_FIELDS) {
    if (mapping[field] === null) yield { field, problem: 'is missing: name the column that holds it' };
  }
}

function mappingOf({ preset, columns }: ColumnOptions): ColumnMapping {
  const known = Object.entries(columns).filter(([field]) => isEventField(field));
  return { ...PRESETS[preset], ...Object.fromEntries(known) };
}

/** Every column that the mapping names, once. */
export function mappedColumns(mapping: ColumnMapping): string[] {
  return [...new Set(EVENT_FIELDS.map((field) => mapping[field]).filter((column) => column !== null))];
}

/** Those that the table must have when the relay starts. Throws CONFIG_INVALID. */
export function requiredColumns(source: ColumnOptions): string[] {
  const mapping = columnMapping(source);
  const left = OPTIONAL_FIELDS.filter((field) => !Object.hasOwn(source.columns, field));
  return mappedColumns({ ...mapping, ...Object.fromEntries(left.map((field) => [field, null])) });
}

function isEventField(name: string): name is EventField {
  return (EVENT_FIELDS as readonly string[]).includes(name);
}
