/** Messages of pgoutput, protocol version 1, built byte by byte. Sizes and types as the protocol's pages name them. */
export const OID = {
  bool: 16,
  bytea: 17,
  int8: 20,
  int2: 21,
  text: 25,
  json: 114,
  timestamp: 1114,
  timestamptz: 1184,
  uuid: 2950,
  jsonb: 3802,
} as const;

const byte = (value: number | string): Buffer => Buffer.from([typeof value === 'string' ? value.charCodeAt(0) : value]);

function int16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes;
}

function int64(value: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt.asUintN(64, value));
  return bytes;
}

const cString = (text: string): Buffer => Buffer.from(`${text}\0`);

export interface BeginFields {
  readonly commitLsn?: bigint;
  readonly micros?: bigint;
  readonly xid?: number;
}

export function beginBytes({ commitLsn = 0x16b3748n, micros = 848_498_400_130_000n, xid = 777 }: BeginFields = {}) {
  return Buffer.concat([byte('B'), int64(commitLsn), int64(micros), int32(xid)]);
}

export interface CommitFields {
  readonly flags?: number;
  readonly commitLsn?: bigint;
  readonly endLsn?: bigint;
}

export function commitBytes({ flags = 0, commitLsn = 0x16b3748n, endLsn = 0x16b3778n }: CommitFields = {}): Buffer {
  return Buffer.concat([byte('C'), byte(flags), int64(commitLsn), int64(endLsn), int64(848_498_400_130_000n)]);
}

export interface RelationFields {
  readonly id?: number;
  readonly schema?: string;
  readonly name?: string;
  readonly columns: readonly (readonly [name: string, oid: number])[];
}

export function relationBytes({ id = 16_400, schema = 'walpost', name = 'outbox', columns }: RelationFields): Buffer {
  return Buffer.concat([
    byte('R'),
    int32(id),
    cString(schema),
    cString(name),
    byte('d'),
    int16(columns.length),
    ...columns.flatMap(([column, oid]) => [byte(0), cString(column), int32(oid), int32(-1)]),
  ]);
}

export function typeBytes(oid: number, schema: string, name: string): Buffer {
  return Buffer.concat([byte('Y'), int32(oid), cString(schema), cString(name)]);
}

/** A column's text, its bytes, NULL, or a TOAST value that was left out. */
export type Cell = string | Buffer | null | typeof UNSENT_CELL;
export const UNSENT_CELL = Symbol('unchanged TOAST value');

export function tupleBytes(cells: readonly Cell[]): Buffer {
  return Buffer.concat([int16(cells.length), ...cells.flatMap(cellBytes)]);
}

function cellBytes(cell: Cell): Buffer[] {
  if (cell === null) return [byte('n')];
  if (cell === UNSENT_CELL) return [byte('u')];
  const bytes = typeof cell === 'string' ? Buffer.from(cell) : cell;
  return [byte('t'), int32(bytes.length), bytes];
}

export function insertBytes(cells: readonly Cell[], id = 16_400): Buffer {
  return Buffer.concat([byte('I'), int32(id), byte('N'), tupleBytes(cells)]);
}

export interface ChangeFields {
  readonly id?: number;
  readonly old?: readonly Cell[];
  readonly mark?: 'K' | 'O';
}

export function updateBytes(cells: readonly Cell[], { id = 16_400, old, mark = 'K' }: ChangeFields = {}): Buffer {
  const before = old ? [byte(mark), tupleBytes(old)] : [];
  return Buffer.concat([byte('U'), int32(id), ...before, byte('N'), tupleBytes(cells)]);
}

export function deleteBytes(old: readonly Cell[], { id = 16_400, mark = 'K' }: ChangeFields = {}): Buffer {
  return Buffer.concat([byte('D'), int32(id), byte(mark), tupleBytes(old)]);
}

export function truncateBytes(ids: readonly number[] = [16_400]): Buffer {
  return Buffer.concat([byte('T'), int32(ids.length), byte(0), ...ids.map(int32)]);
}

export function originBytes(name = 'elsewhere'): Buffer {
  return Buffer.concat([byte('O'), int64(1n), cString(name)]);
}

export function messageBytes(prefix: string, content: string | Buffer, transactional = true): Buffer {
  const bytes = Buffer.from(content as string);
  const flags = byte(transactional ? 1 : 0);
  return Buffer.concat([byte('M'), flags, int64(1n), cString(prefix), int32(bytes.length), bytes]);
}
