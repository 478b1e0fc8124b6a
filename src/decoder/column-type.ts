/**
 * What the reader must know of a column's type: whether its text is JSON, a time, bytes, or can hold more than ASCII.
 * `opaque` is a type of the user's that the plugin did not describe.
 */
export type ColumnType = 'json' | 'jsonb' | 'timestamp' | 'bytea' | 'ascii' | 'text' | 'opaque';

export interface Column {
  readonly name: string;
  readonly type: ColumnType;
}

/** Object identifiers below this are the server's own, and the same in every database. */
const FIRST_USER_OID = 16_384;

const KNOWN_TYPES: readonly (readonly [oid: number, name: string, type: ColumnType])[] = [
  [114, 'json', 'json'],
  [3802, 'jsonb', 'jsonb'],
  [1114, 'timestamp', 'timestamp'],
  [1184, 'timestamptz', 'timestamp'],
  [2950, 'uuid', 'ascii'],
  [20, 'int8', 'ascii'],
  [21, 'int2', 'ascii'],
  [23, 'int4', 'ascii'],
  [17, 'bytea', 'bytea'],
];

const BY_OID = new Map(KNOWN_TYPES.map(([oid, , type]) => [oid, type]));
const BY_NAME = new Map(KNOWN_TYPES.map(([, name, type]) => [name, type]));

export function columnTypeOfOid(oid: number): ColumnType {
  return BY_OID.get(oid) ?? (oid < FIRST_USER_OID ? 'text' : 'opaque');
}

/** By the name in a Type message, which for a domain is the name of its base type; pg_catalog arrives as ''. */
export function columnTypeOfName(schema: string, name: string): ColumnType {
  return (schema === '' || schema === 'pg_catalog' ? BY_NAME.get(name) : undefined) ?? 'text';
}
