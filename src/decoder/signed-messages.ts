/**
 * Events that walpost.emit wrote as logical messages, without a row.
 *
 *   <signature, 64 hex digits> 1 <key> <transaction> <bytes of each field, or - for null>\n<the fields, one after the other>
 *
 * Any role may write messages, so one counts only when its signature fits: HMAC-SHA256 over everything behind it, under a
 * secret that only the owner of the schema and the relay know (sql/functions/06_emit.sql). The transaction is signed too: a message
 * that somebody has read from the WAL and written again is refused in every other transaction.
 *
 * What is refused is told and left out. It takes an ordinal all the same: what a key is worth may change between two
 * readings of a transaction, and the positions of the events in it must not.
 */
import { isAscii } from 'node:buffer';
import { createHmac, timingSafeEqual } from 'node:crypto';
import { KeysOutdated, type EmitKey, type MessageRefusal } from '../emit-key.ts';
import type { Event, Origin, Poison } from '../event.ts';
import { columnMapping, EVENT_FIELDS } from '../postgres/source/column-mapping.ts';
import type { ColumnType } from './column-type.ts';
import { RowReader } from './row-reader.ts';
import { NULL, Row } from './row.ts';
import type { Transaction } from './transaction.ts';

export interface MessageOptions {
  /** The key of that number for a transaction. */
  readonly keyOf: (id: number, origin: Origin) => EmitKey;
  /** A message with our prefix is no event. */
  readonly onRefused: (reason: MessageRefusal) => void;
}

/** A logical message as the plugins hand it on. */
export interface LogicalMessage {
  readonly prefix: string;
  readonly transactional: boolean;
  /** Null: longer than any event, so no text was made of it. */
  readonly content: Buffer | null;
}

const PREFIX = 'walpost';
/**
 * Uniqueness would need a row, so messages have no idempotency key. The last one, expires_at, is written only where there is
 * one: an older relay refuses a message that has it, and reads all others of a newer schema.
 */
const FIELDS = EVENT_FIELDS.filter((field) => field !== 'idempotency_key');
const TYPES: Readonly<Record<string, ColumnType>> = {
  event_id: 'ascii',
  organization_id: 'ascii',
  event_version: 'ascii',
  payload: 'jsonb',
  headers: 'jsonb',
  created_at: 'timestamp',
  expires_at: 'timestamp',
};
const SIGNATURE_LENGTH = 64;
const HEAD = new RegExp(
  `^[0-9a-f]{64} 1 (\\d{1,9}) (\\d{1,20})((?: (?:\\d{1,8}|-)){${FIELDS.length - 1},${FIELDS.length}})\\n`,
);
/** More than any head has. */
const HEAD_LIMIT = 256;
/** More than any event that walpost.emit accepts; what is longer is not looked at. */
export const CONTENT_LIMIT = 4 * 1024 * 1024;

interface Head {
  readonly length: number;
  readonly key: number;
  readonly xid: number;
  /** Bytes of each field; undefined for null. */
  readonly sizes: readonly (number | undefined)[];
}

export class SignedMessages {
  private readonly options: MessageOptions;
  private readonly reader: RowReader;
  private readonly row = new Row(FIELDS.length);

  constructor(options: MessageOptions) {
    this.options = options;
    const columns = FIELDS.map((name) => ({ name, type: TYPES[name] ?? 'text' }));
    const mapping = columnMapping({ preset: 'walpost', columns: {} });
    this.reader = new RowReader(columns, mapping, { reread: (text) => this.rowOf(text, readHead(text)) });
  }

  /** The event that a message is; undefined when it is none. Throws KeysOutdated. */
  read({ prefix, transactional, content }: LogicalMessage, transaction: Transaction): Event | Poison | undefined {
    if (prefix !== PREFIX) return undefined;
    if (!transactional) return this.refuse('not_transactional');
    const { origin } = transaction;
    const head =
      content && content.length <= CONTENT_LIMIT ? readHead(content.toString('latin1', 0, HEAD_LIMIT)) : undefined;
    const isWhole = head !== undefined && content?.length === head.length + sum(head.sizes);
    const refusal = isWhole ? this.refusal(content, head, origin) : 'unsigned';
    const ordinal = transaction.nextOrdinal();
    if (!isWhole || refusal !== undefined) return this.refuse(refusal ?? 'unsigned');
    const row = this.rowOf(content.toString('latin1'), head);
    row.ascii = isAscii(content);
    return this.reader.read(row, origin, ordinal);
  }

  private refuse(reason: MessageRefusal): undefined {
    this.options.onRefused(reason);
  }

  private refusal(content: Buffer, { key, xid }: Head, origin: Origin): MessageRefusal | undefined {
    const secret = this.options.keyOf(key, origin);
    if (secret === 'outdated') throw new KeysOutdated(`Key ${key} of walpost.emit is not known yet.`);
    if (typeof secret === 'string') return secret;
    const signature = Buffer.from(content.toString('latin1', 0, SIGNATURE_LENGTH), 'hex');
    const expected = createHmac('sha256', secret).update(content.subarray(SIGNATURE_LENGTH)).digest();
    if (!timingSafeEqual(signature, expected)) return 'wrong_signature';
    return xid === origin.xid ? undefined : 'wrong_transaction';
  }

  private rowOf(text: string, head: Head | undefined): Row {
    const row = this.row;
    let at = head?.length ?? 0;
    row.starts[FIELDS.length - 1] = NULL;
    head?.sizes.forEach((size, index) => {
      row.starts[index] = size === undefined ? NULL : at;
      at += size ?? 0;
      row.ends[index] = at;
    });
    row.text = text;
    row.size = text.length;
    return row;
  }
}

/** The stream names a transaction by the lower 32 bits of what the message says. */
function readHead(text: string): Head | undefined {
  const [line, key, xid, sizes] = HEAD.exec(text) ?? [];
  if (line === undefined || xid === undefined || sizes === undefined) return undefined;
  return {
    length: line.length,
    key: Number(key),
    xid: Number(BigInt.asUintN(32, BigInt(xid))),
    sizes: sizes
      .slice(1)
      .split(' ')
      .map((size) => (size === '-' ? undefined : Number(size))),
  };
}

const sum = (sizes: Head['sizes']): number => sizes.reduce<number>((total, size) => total + (size ?? 0), 0);
