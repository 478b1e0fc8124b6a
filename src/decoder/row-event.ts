/**
 * An event of the stream, as it waits: its row as one string, and little else.
 *
 * Tens of thousands of events wait in memory while a sink is slower than the slot, and live long enough for each collection
 * to move or mark them. Twelve strings cut from the row doubled what there was to move. So the fields are cut when they are
 * asked for, at once when the event is routed and again when it is sent, and die young. What tells whether it is sent at all
 * is kept: nearly always it is null.
 */
import type { Event, Origin } from '../event.ts';
import type { WireText } from '../wire-text.ts';

/** What is in the row. */
export type EventFields = Omit<Event, 'kind' | 'origin' | 'ordinal' | 'size' | 'parkedId' | 'otherHolders'>;

/** Cuts the fields from the text of a row. */
export interface FieldSource {
  fields(text: string, ascii: boolean): EventFields;
}

export interface RowEventParts {
  readonly source: FieldSource;
  readonly text: string;
  /** As that of the row. */
  readonly ascii: boolean;
  readonly eventId: string;
  readonly expiresAt: string | null;
  readonly origin: Origin;
  readonly ordinal: number | null;
}

export class RowEvent implements Event {
  readonly kind = 'event';
  readonly eventId: string;
  readonly expiresAt: string | null;
  readonly origin: Origin;
  readonly ordinal: number | null;
  otherHolders = 0;
  private readonly source: FieldSource;
  private readonly text: string;
  private readonly ascii: boolean;

  constructor(parts: RowEventParts) {
    this.eventId = parts.eventId;
    this.expiresAt = parts.expiresAt;
    this.origin = parts.origin;
    this.ordinal = parts.ordinal;
    this.source = parts.source;
    this.text = parts.text;
    this.ascii = parts.ascii;
  }

  get organizationId(): string {
    return this.fields.organizationId;
  }

  get eventType(): string {
    return this.fields.eventType;
  }

  get eventVersion(): number {
    return this.fields.eventVersion;
  }

  get topic(): string {
    return this.fields.topic;
  }

  get entityType(): string | null {
    return this.fields.entityType;
  }

  get entityId(): string | null {
    return this.fields.entityId;
  }

  get target(): string | null {
    return this.fields.target;
  }

  get idempotencyKey(): string | null {
    return this.fields.idempotencyKey;
  }

  get payload(): WireText {
    return this.fields.payload;
  }

  get headers(): WireText {
    return this.fields.headers;
  }

  get createdAt(): string | null {
    return this.fields.createdAt;
  }

  get size(): number {
    return this.text.length;
  }

  /** It came from the stream. */
  get parkedId(): null {
    return null;
  }

  private get fields(): EventFields {
    return this.source.fields(this.text, this.ascii);
  }
}
