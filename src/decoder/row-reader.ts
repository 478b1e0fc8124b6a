/**
 * Makes an event of a row, or a poison with the reason why it cannot be one.
 *
 * A reader is compiled once per Relation message: it knows the place and type of each mapped column, so that a row costs
 * one substring a field. Fields are read in one go; the first fault is remembered rather than thrown, and the half-made
 * event is dropped for a poison. Both plugins share the reader: they only differ in how they fill a Row.
 */
import { isUtf8 } from 'node:buffer';
import type { Event, Origin, Poison } from '../event.ts';
import { asWire, decodeLatin1, quoteJson, type WireText } from '../wire-text.ts';
import type { ColumnMapping, EventField, PayloadForm } from '../postgres/source/column-mapping.ts';
import type { Column, ColumnType } from './column-type.ts';
import { embeddedBytes, embeddedText, tombstone } from './embedded-json.ts';
import { type EventFields, RowEvent } from './row-event.ts';
import { cut, onOneLine, rowText } from './row-text.ts';
import { NULL, type Row, UNSENT } from './row.ts';
import { isoToRfc3339, timestampToRfc3339 } from './timestamps.ts';

/** Where a field is: `index` is -1 when no column is mapped, or the mapped one is not in the table. */
interface Place {
  readonly field: EventField;
  readonly column: string | null;
  readonly index: number;
  readonly type: ColumnType;
}

/** Notes again where the columns of a row lie, from its text. */
export type Reread = (text: string) => Row;

export interface ReaderOptions {
  /** Given, events keep their row alone and have their fields cut from it when they are asked for. */
  readonly reread?: Reread;
  /** typed: JSON by the type of its column. embedded: what Debezium's event router makes of it. */
  readonly payload?: PayloadForm | undefined;
}

/** Types whose text is ASCII whatever the row holds. */
const ASCII_TYPES: ReadonlySet<ColumnType> = new Set(['ascii', 'bytea', 'timestamp']);
const INTEGER = /^-?\d{1,10}$/;
/** Bytes of an id. Longer ones do not fit into the indexes of parked events, and one that cannot be parked holds up all. */
const ID_LIMIT = 1024;
const JSON_OBJECT = /^[ \t\r\n]*\{/;
/** What a poison keeps of an id or a type. */
const NAME_LIMIT = 1024;
const NO_HEADERS = asWire('{}');

export class RowReader {
  /** 1 for the columns whose bytes may be more than ASCII and matter to the event; see Row.ascii. */
  readonly watched: Uint8Array;
  private readonly columns: readonly Column[];
  private readonly eventId: Place;
  private readonly organizationId: Place;
  private readonly eventType: Place;
  private readonly eventVersion: Place;
  private readonly topic: Place;
  private readonly entityType: Place;
  private readonly entityId: Place;
  private readonly target: Place;
  private readonly idempotencyKey: Place;
  private readonly payload: Place;
  private readonly headers: Place;
  private readonly createdAt: Place;
  private readonly expiresAt: Place;
  private readonly reread: Reread | null;
  private readonly isEmbedded: boolean;
  private fault: string | null = null;
  /** The row that was read last, and what was cut from it: the router asks for its fields right away. */
  private lastText = '';
  private last: EventFields | null = null;

  constructor(columns: readonly Column[], mapping: ColumnMapping, options: ReaderOptions = {}) {
    this.reread = options.reread ?? null;
    this.isEmbedded = options.payload === 'embedded';
    const place = (field: EventField): Place => {
      const index = columns.findIndex((column) => column.name === mapping[field]);
      return { field, column: mapping[field], index, type: columns[index]?.type ?? 'text' };
    };
    const mapped = new Set(Object.values(mapping));
    this.watched = Uint8Array.from(columns, ({ name, type }) => (mapped.has(name) && !ASCII_TYPES.has(type) ? 1 : 0));
    this.columns = columns;
    this.eventId = place('event_id');
    this.organizationId = place('organization_id');
    this.eventType = place('event_type');
    this.eventVersion = place('event_version');
    this.topic = place('topic');
    this.entityType = place('entity_type');
    this.entityId = place('entity_id');
    this.target = place('target');
    this.idempotencyKey = place('idempotency_key');
    this.payload = place('payload');
    this.headers = place('headers');
    this.createdAt = place('created_at');
    this.expiresAt = place('expires_at');
  }

  read(row: Row, origin: Origin, ordinal: number | null): Event | Poison {
    const fields = this.fieldsOf(row);
    if (this.fault !== null) return this.poison(row, this.fault, { origin, ordinal });
    if (this.reread === null) return { kind: 'event', ...fields, origin, ordinal, size: row.size, parkedId: null };
    const { eventId, expiresAt } = fields;
    return new RowEvent({ source: this, text: row.text, ascii: row.ascii, eventId, expiresAt, origin, ordinal });
  }

  /** The fields of a row that became an event before: cut again, unless it is the one that was read last. */
  fields(text: string, ascii: boolean): EventFields {
    if (this.last !== null && text === this.lastText) return this.last;
    if (this.reread === null) throw new Error('the rows of this source are not kept');
    const row = this.reread(text);
    row.ascii = ascii;
    return this.fieldsOf(row);
  }

  private fieldsOf(row: Row): EventFields {
    this.fault = null;
    this.lastText = row.text;
    this.last = {
      eventId: this.id(row, this.eventId),
      organizationId: this.id(row, this.organizationId),
      eventType: this.required(row, this.eventType),
      eventVersion: this.version(row),
      topic: this.text(row, this.topic) ?? 'default',
      entityType: this.text(row, this.entityType),
      entityId: this.text(row, this.entityId),
      target: this.text(row, this.target),
      idempotencyKey: this.text(row, this.idempotencyKey),
      payload: this.isEmbedded ? this.embeddedOf(row) : this.payloadOf(row),
      headers: this.headersOf(row),
      createdAt: this.time(row, this.createdAt),
      expiresAt: this.expiry(row),
    };
    return this.last;
  }

  /** What can be read of a row that is no event. */
  poison(row: Row, reason: string, { origin, ordinal }: { origin: Origin; ordinal: number | null }): Poison {
    return {
      kind: 'poison',
      reason,
      eventId: legible(row, this.eventId),
      organizationId: legible(row, this.organizationId),
      eventType: legible(row, this.eventType),
      row: rowText(this.columns, row),
      origin,
      ordinal,
    };
  }

  private blame(place: Place, problem: string): void {
    if (this.fault !== null) return;
    const column = place.column === null || place.column === place.field ? '' : ` (column "${place.column}")`;
    this.fault = `${place.field}${column} ${problem}`;
  }

  /** The column's bytes; null when it is NULL, or when there is none. */
  private latin1(row: Row, place: Place): string | null {
    if (place.index < 0) return null;
    const value = row.latin1(place.index);
    if (value === null && row.starts[place.index] === UNSENT) this.blame(place, 'was not sent by the server');
    return value;
  }

  /** The same of a column whose bytes may be anything: a database in SQL_ASCII checks nothing. */
  private utf8(row: Row, place: Place): string | null {
    const value = this.latin1(row, place);
    if (value === null || row.ascii) return value;
    if (!isUtf8(Buffer.from(value, 'latin1'))) this.blame(place, 'is not valid UTF-8');
    return value;
  }

  private text(row: Row, place: Place): string | null {
    const value = this.utf8(row, place);
    return value === null || row.ascii ? value : decodeLatin1(value);
  }

  private required(row: Row, place: Place): string {
    const value = this.text(row, place);
    if (value === null) this.blame(place, place.index < 0 ? 'has no column in the table any more' : 'is null');
    else if (value === '') this.blame(place, 'is empty');
    return value ?? '';
  }

  private id(row: Row, place: Place): string {
    const value = this.required(row, place);
    if (value.length > ID_LIMIT / 4 && Buffer.byteLength(value) > ID_LIMIT) {
      this.blame(place, `is longer than ${ID_LIMIT} bytes`);
    }
    return value;
  }

  private version(row: Row): number {
    const value = this.latin1(row, this.eventVersion);
    if (value === null || value === '1') return 1;
    const version = Number(value);
    if (!INTEGER.test(value)) this.blame(this.eventVersion, 'is not an integer');
    else if ((version | 0) !== version) this.blame(this.eventVersion, 'is not an integer of 32 bits');
    return version;
  }

  /** Only json and jsonb are JSON by the server's word; the text of any other type becomes one JSON string. */
  private payloadOf(row: Row): WireText {
    const place = this.payload;
    if (place.type === 'jsonb' || place.type === 'json') {
      const value = this.utf8(row, place);
      if (value === null) this.blame(place, place.index < 0 ? 'has no column in the table any more' : 'is null');
      return asWire(place.type === 'json' ? onOneLine(value ?? '') : (value ?? ''));
    }
    if (place.type === 'opaque') this.blame(place, 'has a type that the plugin does not describe');
    return asWire(quoteJson(this.required(row, place)));
  }

  private embeddedOf(row: Row): WireText {
    const place = this.payload;
    if (place.index < 0 || place.type === 'jsonb' || place.type === 'json' || place.type === 'opaque') {
      const isNull = place.index >= 0 && row.starts[place.index] === NULL;
      return isNull ? tombstone() : this.payloadOf(row);
    }
    const value = this.utf8(row, place);
    if (value === null) return tombstone();
    return place.type === 'bytea' ? embeddedBytes(value) : embeddedText(value);
  }

  private headersOf(row: Row): WireText {
    const place = this.headers;
    const value = this.utf8(row, place);
    if (value === null) return NO_HEADERS;
    if (place.type === 'jsonb' && value.startsWith('{')) return asWire(value);
    if (place.type !== 'jsonb' && place.type !== 'json') this.blame(place, 'is neither json nor jsonb');
    else if (!JSON_OBJECT.test(value)) this.blame(place, 'is not a JSON object');
    return asWire(onOneLine(value));
  }

  private time(row: Row, place: Place): string | null {
    const value = this.latin1(row, place);
    if (value === null) return null;
    const time = place.type === 'timestamp' ? timestampToRfc3339(value) : isoToRfc3339(value);
    if (time === undefined) this.blame(place, 'is not a time that RFC 3339 can say');
    return time ?? null;
  }

  /** Infinity is how a column says never. */
  private expiry(row: Row): string | null {
    const place = this.expiresAt;
    return place.index >= 0 && row.latin1(place.index) === 'infinity' ? null : this.time(row, place);
  }
}

function legible(row: Row, place: Place): string | null {
  const value = place.index < 0 ? null : row.latin1(place.index);
  return value === null ? null : cut(value, NAME_LIMIT);
}
