/**
 * pgoutput, protocol version 1, columns as text.
 *
 *   Begin, (Origin | Type | Relation | Insert | Update | Delete | Truncate | Message)*, Commit
 *
 * Only inserts of the source table become events, and messages of walpost.emit. A relation is described before its first
 * change and again after the table changed; on a new connection all of it is said again, so each connection needs a decoder
 * of its own. A relation is the source table when it has the table's name or the table's number (oid). The name covers rows of
 * a table that was dropped and made again; the number covers rows that were written while the table had another name.
 * https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html
 */
import { WalpostError } from '../errors.ts';
import type { Decoder, Step } from '../pipeline.ts';
import { ByteCursor, malformed, messageType } from './byte-cursor.ts';
import { DEFAULT_MAX_ROW_BYTES, type DecoderOptions, type IgnoredKind, rowTooLong } from './decoder-options.ts';
import { EndpointChangeReader, isChangesTable, isQuietTable } from './endpoint-changes.ts';
import { readRelation, TypeNames } from './relation.ts';
import { RowReader } from './row-reader.ts';
import { Row } from './row.ts';
import { SignedMessages } from './signed-messages.ts';
import { NEW_TUPLE, skipDelete, skipOrigin, skipUpdate } from './skipped-messages.ts';
import { parseSourceTable, type SourceTable } from '../postgres/source/source-table.ts';
import { Transaction } from './transaction.ts';
import { isAsciiRow, readLargeTuple, readTuple, skipTuple } from './tuple.ts';

/** A relation that was described; without a reader it is another table of the publication. */
interface Described {
  readonly table: string;
  /** What is ignored of it is no news. */
  readonly quiet: boolean;
  readonly reader: RowReader | EndpointChangeReader | null;
  readonly row: Row;
}

const BEGIN = 0x42;
const COMMIT = 0x43;
const DELETE = 0x44;
const INSERT = 0x49;
const MESSAGE = 0x4d;
const ORIGIN = 0x4f;
const RELATION = 0x52;
const TRUNCATE = 0x54;
const UPDATE = 0x55;
const TYPE = 0x59;
/** Type, relation, `N`: what comes before the tuple of an Insert. */
const INSERT_HEAD = 6;

export function createPgoutputDecoder(options: DecoderOptions): Decoder {
  return new PgoutputDecoder(options);
}

class PgoutputDecoder implements Decoder {
  private readonly options: DecoderOptions;
  private readonly source: SourceTable;
  private readonly maxRowBytes: number;
  private readonly relations = new Map<number, Described>();
  private readonly types = new TypeNames();
  private readonly transaction: Transaction;
  private readonly messages: SignedMessages | null;

  constructor(options: DecoderOptions) {
    this.options = options;
    this.source = parseSourceTable(options.table);
    this.transaction = new Transaction(options.beginTransaction);
    this.messages = options.messages ? new SignedMessages(options.messages) : null;
    this.maxRowBytes = options.maxRowBytes ?? DEFAULT_MAX_ROW_BYTES;
  }

  decode(payload: Buffer): Step | undefined {
    switch (payload[0]) {
      case INSERT:
        return this.insert(payload);
      case BEGIN:
        return this.begin(new ByteCursor(payload, 1));
      case COMMIT:
        return this.commit(new ByteCursor(payload, 1));
      case RELATION:
        return this.relation(new ByteCursor(payload, 1));
      case UPDATE:
      case DELETE:
        return this.ignoreChange(new ByteCursor(payload, 1), payload[0] === UPDATE ? 'update' : 'delete');
      case TRUNCATE:
        return this.ignoreTruncate(new ByteCursor(payload, 1));
      case TYPE:
        return this.types.read(new ByteCursor(payload, 1));
      case ORIGIN:
        return skipOrigin(new ByteCursor(payload, 1));
      case MESSAGE:
        return this.message(payload);
      default:
        throw malformed(
          payload.length === 0 ? 'A message is empty.' : `A message has the type ${messageType(payload)}.`,
        );
    }
  }

  private begin(cursor: ByteCursor): Step {
    const commitLsn = cursor.uint64();
    const committedAtMicros = cursor.int64();
    const xid = cursor.uint32();
    cursor.finish();
    return this.transaction.begin(commitLsn, xid, committedAtMicros);
  }

  private commit(cursor: ByteCursor): Step {
    if (cursor.uint8() !== 0) throw malformed('A Commit has flags, which protocol version 1 does not know.');
    const commitLsn = cursor.uint64();
    const endLsn = cursor.uint64();
    cursor.skip(8); // the commit time, which Begin has said
    cursor.finish();
    return this.transaction.commit(commitLsn, endLsn);
  }

  private relation(cursor: ByteCursor): undefined {
    const { id, schema, name, columns } = readRelation(cursor, this.types);
    const { tableId } = this.options;
    const isSource = id === tableId || (schema === this.source.schema && name === this.source.name);
    const row = new Row(columns.length);
    const reread = (message: string): Row => {
      readTuple(message, INSERT_HEAD, row);
      return row;
    };
    const changes = isChangesTable(schema, name) ? new EndpointChangeReader(columns) : null;
    const reader = isSource
      ? new RowReader(columns, this.options.mapping, { reread, payload: this.options.payload })
      : changes;
    this.relations.set(id, { table: `${schema}.${name}`, quiet: !isSource && isQuietTable(schema, name), reader, row });
  }

  private insert(payload: Buffer): Step | undefined {
    if (payload.length < INSERT_HEAD) throw malformed('An Insert ends before its tuple.');
    const described = this.described(payload.readUInt32BE(1));
    const { reader, row } = described;
    if (payload[INSERT_HEAD - 1] !== NEW_TUPLE) throw malformed('An Insert has no new tuple.');
    if (reader === null) {
      const cursor = new ByteCursor(payload, INSERT_HEAD);
      skipTuple(cursor);
      return this.ignored(cursor, 'insert', described);
    }
    const { origin } = this.transaction;
    if (reader instanceof EndpointChangeReader) {
      readTuple(payload.toString('latin1'), INSERT_HEAD, row);
      return reader.read(row, origin) ?? this.unreadable(described.table);
    }
    if (payload.length > this.maxRowBytes) {
      const bytes = readLargeTuple(payload, INSERT_HEAD, row);
      if (bytes > this.maxRowBytes) {
        const place = { origin, ordinal: this.transaction.nextOrdinal() };
        return reader.poison(row, rowTooLong(bytes, this.maxRowBytes), place);
      }
    }
    readTuple(payload.toString('latin1'), INSERT_HEAD, row);
    row.ascii = isAsciiRow(payload, row, reader.watched);
    return reader.read(row, origin, this.transaction.nextOrdinal());
  }

  /** Flags, LSN, prefix, content. */
  private message(payload: Buffer): Step | undefined {
    const cursor = new ByteCursor(payload, 1);
    const transactional = (cursor.uint8() & 1) === 1;
    cursor.skip(8);
    const prefix = cursor.cString();
    const content = payload.subarray(cursor.skip(cursor.uint32()));
    cursor.finish();
    return this.messages?.read({ prefix, transactional, content }, this.transaction);
  }

  private ignoreChange(cursor: ByteCursor, kind: 'update' | 'delete'): undefined {
    const described = this.described(cursor.uint32());
    if (kind === 'update') skipUpdate(cursor);
    else skipDelete(cursor);
    this.ignored(cursor, kind, described);
  }

  private ignoreTruncate(cursor: ByteCursor): undefined {
    const count = cursor.uint32();
    cursor.skip(1); // CASCADE, RESTART IDENTITY
    const tables: Described[] = [];
    for (let left = count; left > 0; left--) tables.push(this.described(cursor.uint32()));
    const table = tables.map((described) => described.table).join(', ');
    this.ignored(cursor, 'truncate', { table, quiet: tables.every(({ quiet }) => quiet) });
  }

  private ignored(
    cursor: ByteCursor,
    kind: IgnoredKind,
    { table, quiet }: Pick<Described, 'table' | 'quiet'>,
  ): undefined {
    cursor.finish();
    void this.transaction.origin; // throws outside a transaction
    if (!quiet) this.options.onIgnored?.(kind, table);
  }

  private unreadable(table: string): undefined {
    this.options.onIgnored?.('insert', table);
  }

  private described(id: number): Described {
    const relation = this.relations.get(id);
    if (!relation) throw new WalpostError('UNKNOWN_RELATION', { detail: `Its identifier is ${id}.` });
    return relation;
  }
}
