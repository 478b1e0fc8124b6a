/**
 * wal2json, format version 2: one JSON object a message, the same steps as pgoutput.
 *
 * The message is parsed as latin1, not as UTF-8: JSON's syntax is ASCII, so each string that comes out is wire text, and
 * the payload survives byte for byte. wal2json describes no relations; a reader is compiled when the columns change.
 * In B and C, `lsn` is the commit LSN and `nextlsn` the end LSN.
 */
import { isAscii } from 'node:buffer';
import { type Lsn, parseLsn } from '../lsn.ts';
import type { Decoder, Step } from '../pipeline.ts';
import { decodeLatin1 } from '../wire-text.ts';
import { malformed } from './byte-cursor.ts';
import { columnTypeOfOid } from './column-type.ts';
import { DEFAULT_MAX_ROW_BYTES, type DecoderOptions, type IgnoredKind, rowTooLong } from './decoder-options.ts';
import { EndpointChangeReader, isChangesTable, isQuietTable } from './endpoint-changes.ts';
import { Piece, piecesOf, plain, valueBytes } from './long-message.ts';
import { RowReader } from './row-reader.ts';
import { NULL, Row } from './row.ts';
import { CONTENT_LIMIT, SignedMessages } from './signed-messages.ts';
import { parseSourceTable, type SourceTable } from '../postgres/source/source-table.ts';
import { microsSince2000 } from './timestamps.ts';
import { Transaction } from './transaction.ts';
import {
  asMessage,
  columnsOf,
  parseMessage,
  textOf,
  type Wal2jsonColumn,
  type Wal2jsonMessage,
} from './wal2json-message.ts';

/** Of each string of a message that is too long; a little more than a poison keeps. */
const KEPT_OF_LONG = 64 * 1024;
const IGNORED: Readonly<Record<string, IgnoredKind>> = { U: 'update', D: 'delete', T: 'truncate' };

export function createWal2jsonDecoder(options: DecoderOptions): Decoder {
  return new Wal2jsonDecoder(options);
}

class Wal2jsonDecoder implements Decoder {
  private readonly options: DecoderOptions;
  private readonly source: SourceTable;
  private readonly maxRowBytes: number;
  private readonly transaction: Transaction;
  private readonly messages: SignedMessages | null;
  private signature = '';
  private reader: RowReader | null = null;

  constructor(options: DecoderOptions) {
    this.options = options;
    this.source = parseSourceTable(options.table);
    this.transaction = new Transaction(options.beginTransaction);
    this.messages = options.messages ? new SignedMessages(options.messages) : null;
    this.maxRowBytes = options.maxRowBytes ?? DEFAULT_MAX_ROW_BYTES;
  }

  decode(payload: Buffer): Step | undefined {
    if (payload.length > this.maxRowBytes) return this.long(payload);
    return this.step(parseMessage(payload), payload);
  }

  /** The JSON is longer than any row that becomes an event, which its values need not be: escapes take up to six bytes. */
  private long(payload: Buffer): Step | undefined {
    const pieces = piecesOf(payload);
    const rowBytes = valueBytes(pieces);
    const messageBytes = pieces['content'] instanceof Piece ? pieces['content'].size : 0;
    const isTooLong = rowBytes > this.maxRowBytes || messageBytes > CONTENT_LIMIT;
    const message = asMessage(plain(pieces, isTooLong ? KEPT_OF_LONG : Math.max(CONTENT_LIMIT, this.maxRowBytes)));
    return this.step(message, payload, isTooLong ? rowBytes + messageBytes : undefined);
  }

  /** `tooLong`: so many bytes has the row, or the content, of which the message holds only the beginning. */
  private step(message: Wal2jsonMessage, payload: Buffer, tooLong?: number): Step | undefined {
    switch (message.action) {
      case 'B':
        return this.transaction.begin(lsnOf(message, 'lsn'), xidOf(message), commitTimeOf(message));
      case 'C':
        return this.transaction.commit(lsnOf(message, 'lsn'), lsnOf(message, 'nextlsn'));
      case 'I':
        return this.insert(message, payload, tooLong);
      case 'U':
      case 'D':
      case 'T':
        return this.ignored(IGNORED[message.action] ?? 'update', message);
      case 'M':
        return this.message(message, tooLong);
      default:
        throw malformed('A message of wal2json has an action that was not asked for.');
    }
  }

  private insert(message: Wal2jsonMessage, payload: Buffer, tooLong: number | undefined): Step | undefined {
    const schema = decodeLatin1(textOf(message, 'schema'));
    const name = decodeLatin1(textOf(message, 'table'));
    const columns = columnsOf(message);
    const isSource = schema === this.source.schema && name === this.source.name;
    if (!isSource && isChangesTable(schema, name)) return this.change(message, columns, { payload, tooLong });
    if (!isSource) return this.ignored('insert', message);
    const { origin } = this.transaction;
    const reader = this.readerOf(columns);
    const row = rowOf(columns, payload);
    const ordinal = this.transaction.nextOrdinal();
    if (tooLong === undefined) return reader.read(row, origin, ordinal);
    return reader.poison(row, rowTooLong(tooLong, this.maxRowBytes), { origin, ordinal });
  }

  private change(
    message: Wal2jsonMessage,
    columns: readonly Wal2jsonColumn[],
    { payload, tooLong }: { readonly payload: Buffer; readonly tooLong: number | undefined },
  ): Step | undefined {
    const { origin } = this.transaction;
    const named = columns.map(({ name }) => ({ name: decodeLatin1(name) }));
    const change =
      tooLong === undefined ? new EndpointChangeReader(named).read(rowOf(columns, payload), origin) : undefined;
    if (change === undefined) this.tellIgnored('insert', message);
    return change;
  }

  private message(message: Wal2jsonMessage, tooLong: number | undefined): Step | undefined {
    if (this.messages === null) return undefined;
    const content = tooLong === undefined ? Buffer.from(textOf(message, 'content'), 'latin1') : null;
    const logical = { prefix: textOf(message, 'prefix'), transactional: message['transactional'] === true, content };
    return this.messages.read(logical, this.transaction);
  }

  private readerOf(columns: readonly Wal2jsonColumn[]): RowReader {
    const signature = JSON.stringify(columns.map(({ name, typeOid }) => [name, typeOid]));
    if (this.reader === null || signature !== this.signature) {
      const described = columns.map(({ name, typeOid }) => ({
        name: decodeLatin1(name),
        type: columnTypeOfOid(typeOid),
      }));
      this.reader = new RowReader(described, this.options.mapping, { payload: this.options.payload });
      this.signature = signature;
    }
    return this.reader;
  }

  private ignored(kind: IgnoredKind, message: Wal2jsonMessage): undefined {
    void this.transaction.origin;
    const [schema, name] = [decodeLatin1(textOf(message, 'schema')), decodeLatin1(textOf(message, 'table'))];
    const isSource = schema === this.source.schema && name === this.source.name;
    if (isSource || !isQuietTable(schema, name)) this.tellIgnored(kind, message);
  }

  private tellIgnored(kind: IgnoredKind, message: Wal2jsonMessage): void {
    const table = `${textOf(message, 'schema')}.${textOf(message, 'table')}`;
    this.options.onIgnored?.(kind, decodeLatin1(table));
  }
}

/** What pgoutput adds to the values, so that a row has the same size with both plugins: an Insert, a value, a null. */
const [ROW_HEAD, VALUE_HEAD] = [8, 5];

function rowOf(columns: readonly Wal2jsonColumn[], payload: Buffer): Row {
  const row = new Row(columns.length);
  let text = '';
  columns.forEach(({ value }, index) => {
    row.starts[index] = value === null ? NULL : text.length;
    text += value ?? '';
    row.ends[index] = text.length;
  });
  row.text = text;
  row.size = ROW_HEAD + text.length + columns.reduce((sum, { value }) => sum + (value === null ? 1 : VALUE_HEAD), 0);
  row.ascii = isAscii(payload);
  return row;
}

function lsnOf(message: Wal2jsonMessage, member: string): Lsn {
  const lsn = parseLsn(textOf(message, member));
  if (lsn === undefined) throw malformed(`A message of wal2json has a ${member} that is no LSN.`);
  return lsn;
}

function xidOf(message: Wal2jsonMessage): number {
  const xid = Number(textOf(message, 'xid'));
  if (!Number.isInteger(xid)) throw malformed('A message of wal2json has an xid that is no number.');
  return xid;
}

function commitTimeOf(message: Wal2jsonMessage): bigint {
  const micros = microsSince2000(textOf(message, 'timestamp'));
  if (micros === undefined) throw malformed('A message of wal2json has a timestamp that is not ISO.');
  return micros;
}
