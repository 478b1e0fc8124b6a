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
import { DEFAULT_MAX_ROW_BYTES, type DecoderOptions, type IgnoredKind } from './decoder-options.ts';
import { RowReader } from './row-reader.ts';
import { NULL, Row } from './row.ts';
import { SignedMessages } from './signed-messages.ts';
import { parseSourceTable, type SourceTable } from './source-table.ts';
import { microsSince2000 } from './timestamps.ts';
import { Transaction } from './transaction.ts';
import { columnsOf, parseMessage, textOf, type Wal2jsonColumn, type Wal2jsonMessage } from './wal2json-message.ts';

const IGNORED: Readonly<Record<string, IgnoredKind>> = { U: 'update', D: 'delete', T: 'truncate' };

export function createWal2jsonDecoder(options: DecoderOptions): Decoder {
  return new Wal2jsonDecoder(options);
}

class Wal2jsonDecoder implements Decoder {
  readonly #options: DecoderOptions;
  readonly #source: SourceTable;
  readonly #maxRowBytes: number;
  readonly #transaction = new Transaction();
  readonly #messages: SignedMessages | null;
  #signature = '';
  #reader: RowReader | null = null;

  constructor(options: DecoderOptions) {
    this.#options = options;
    this.#source = parseSourceTable(options.table);
    this.#messages = options.messages ? new SignedMessages(options.messages) : null;
    this.#maxRowBytes = options.maxRowBytes ?? DEFAULT_MAX_ROW_BYTES;
  }

  decode(payload: Buffer): Step | undefined {
    const message = parseMessage(payload);
    switch (message.action) {
      case 'B':
        return this.#transaction.begin(lsnOf(message, 'lsn'), xidOf(message), commitTimeOf(message));
      case 'C':
        return this.#transaction.commit(lsnOf(message, 'lsn'), lsnOf(message, 'nextlsn'));
      case 'I':
        return this.#insert(message, payload);
      case 'U':
      case 'D':
      case 'T':
        return this.#ignored(IGNORED[message.action] ?? 'update', message);
      case 'M':
        return this.#message(message);
      default:
        throw malformed('A message of wal2json has an action that was not asked for.');
    }
  }

  #insert(message: Wal2jsonMessage, payload: Buffer): Step | undefined {
    const schema = decodeLatin1(textOf(message, 'schema'));
    const name = decodeLatin1(textOf(message, 'table'));
    const columns = columnsOf(message);
    if (schema !== this.#source.schema || name !== this.#source.name) return this.#ignored('insert', message);
    const { origin } = this.#transaction;
    const reader = this.#readerOf(columns);
    const row = rowOf(columns, payload);
    const ordinal = this.#transaction.nextOrdinal();
    if (payload.length <= this.#maxRowBytes) return reader.read(row, origin, ordinal);
    const reason = `the row has ${payload.length} bytes, more than ${this.#maxRowBytes}`;
    return reader.poison(row, reason, { origin, ordinal });
  }

  #message(message: Wal2jsonMessage): Step | undefined {
    if (this.#messages === null) return undefined;
    const content = Buffer.from(textOf(message, 'content'), 'latin1');
    const logical = { prefix: textOf(message, 'prefix'), transactional: message['transactional'] === true, content };
    return this.#messages.read(logical, this.#transaction);
  }

  #readerOf(columns: readonly Wal2jsonColumn[]): RowReader {
    const signature = JSON.stringify(columns.map(({ name, typeOid }) => [name, typeOid]));
    if (this.#reader === null || signature !== this.#signature) {
      const described = columns.map(({ name, typeOid }) => ({
        name: decodeLatin1(name),
        type: columnTypeOfOid(typeOid),
      }));
      this.#reader = new RowReader(described, this.#options.mapping);
      this.#signature = signature;
    }
    return this.#reader;
  }

  #ignored(kind: IgnoredKind, message: Wal2jsonMessage): undefined {
    void this.#transaction.origin;
    const table = `${textOf(message, 'schema')}.${textOf(message, 'table')}`;
    this.#options.onIgnored?.(kind, decodeLatin1(table));
  }
}

function rowOf(columns: readonly Wal2jsonColumn[], payload: Buffer): Row {
  const row = new Row(columns.length);
  let text = '';
  columns.forEach(({ value }, index) => {
    row.starts[index] = value === null ? NULL : text.length;
    text += value ?? '';
    row.ends[index] = text.length;
  });
  row.text = text;
  row.size = payload.length;
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
