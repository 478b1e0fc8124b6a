/**
 * Broadcasts that stand for many events: `form: list` and `form: invalidate`. docs/sinks/realtime.md shows both.
 *
 * A message covers a run of events in their order, and is closed before it passes the limit of bytes.
 */
import type { Event } from '../../event.ts';
import { formatLsn } from '../../lsn.ts';
import { asWire, quoteJson, quoteJsonOrNull, type WireText } from '../../wire-text.ts';

export type CoalescedForm = 'list' | 'invalidate';

export interface CoalescedMessage {
  readonly events: readonly Event[];
  readonly body: WireText;
}

/**
 * Realtime allows 256 KB on the free plan. It counts the parsed message in Erlang's own encoding, which needs up to a fourth
 * more than these fields do as JSON.
 */
const MESSAGE_BYTES = 200_000;

/** What a body has around its entries: keys, brackets and the organization. */
const FRAME_BYTES = 100;

/** @param maxBytes of one body; an event whose entry is longer is a message of its own */
export function coalesce(
  form: CoalescedForm,
  events: readonly Event[],
  maxBytes: number = MESSAGE_BYTES,
): CoalescedMessage[] {
  const messages: CoalescedMessage[] = [];
  let open = new OpenMessage(form, maxBytes);
  for (const event of events) {
    if (open.take(event)) continue;
    messages.push(open.close());
    open = new OpenMessage(form, maxBytes);
    open.take(event);
  }
  if (events.length > 0) messages.push(open.close());
  return messages;
}

class OpenMessage {
  private readonly form: CoalescedForm;
  private readonly maxBytes: number;
  private readonly events: Event[] = [];
  /** By what makes them distinct; a later event of an entity takes the place of the earlier one. */
  private readonly entries = new Map<string, string>();
  private bytes = 0;

  constructor(form: CoalescedForm, maxBytes: number) {
    this.form = form;
    this.maxBytes = maxBytes;
  }

  /** False when the event has no place any more. The first one always has. */
  take(event: Event): boolean {
    const { key, text } = this.form === 'list' ? listed(event, this.events.length) : invalidated(event);
    const before = this.entries.get(key);
    // A new entry has a comma before it.
    const bytes = this.bytes + text.length + (before === undefined ? 1 : -before.length);
    if (this.events.length > 0 && bytes + FRAME_BYTES > this.maxBytes) return false;
    this.entries.set(key, text);
    this.events.push(event);
    this.bytes = bytes;
    return true;
  }

  close(): CoalescedMessage {
    return { events: this.events, body: asWire(this.frame([...this.entries.values()].join(','))) };
  }

  private frame(entries: string): string {
    const organization = quoteJson(this.events[0]?.organizationId ?? '');
    return `{"organization_id":${organization},"${this.form === 'list' ? 'events' : 'entities'}":[${entries}]}`;
  }
}

interface Entry {
  readonly key: string;
  readonly text: string;
}

function listed(event: Event, place: number): Entry {
  const { commitLsn } = event.origin;
  const lsn = commitLsn === null ? 'null' : `"${formatLsn(commitLsn)}"`;
  const text =
    `{"event_id":${quoteJson(event.eventId)},"event_type":${quoteJson(event.eventType)},${entityOf(event)}` +
    `,"lsn":${lsn},"ordinal":${event.ordinal}}`;
  return { key: String(place), text };
}

function invalidated(event: Event): Entry {
  const key = entityOf(event);
  return { key, text: `{${key},"event_id":${quoteJson(event.eventId)}}` };
}

function entityOf({ topic, entityType, entityId }: Event): string {
  return `"topic":${quoteJson(topic)},"entity_type":${quoteJsonOrNull(entityType)},"entity_id":${quoteJsonOrNull(entityId)}`;
}
