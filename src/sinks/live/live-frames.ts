/** The text of Server-Sent Events: https://html.spec.whatwg.org/multipage/server-sent-events.html */
import { envelopeOf } from '../../envelope.ts';
import type { Event } from '../../event.ts';
import { quoteJson, quoteJsonOrNull, textToWire, wireString } from '../../wire-text.ts';

export interface FrameForm {
  readonly data: 'envelope' | 'minimal';
  readonly eventName: 'type' | 'message';
}

/** It would end the field, or the whole message. */
const LINE_BREAK = /\r\n|\r|\n/g;
const UNFIT_NAME = /[\r\n\0]/;

export const HEARTBEAT = Buffer.from(':\n\n', 'latin1');

/** One message, as a latin1 string of its bytes. A type with a line break is no name: such an event arrives as `message`. */
export function frameOf(event: Event, id: string, { data, eventName }: FrameForm): string {
  const { eventType } = event;
  const name =
    eventName === 'message' || UNFIT_NAME.test(eventType) ? '' : `event: ${wireString(textToWire(eventType))}\n`;
  const text = data === 'envelope' ? wireString(envelopeOf(event)) : minimal(event);
  // A line break in JSON stands between its values: in a column of type json it may.
  return `id: ${id}\n${name}data: ${text.replace(LINE_BREAK, '\ndata: ')}\n\n`;
}

/** A message of walpost itself, whose name no event can have. */
export function controlFrame(
  name: 'live' | 'reset' | 'end',
  data: Readonly<Record<string, string>>,
  id?: string,
): Buffer {
  const idLine = id === undefined ? '' : `id: ${id}\n`;
  return Buffer.from(`${idLine}event: walpost.${name}\ndata: ${JSON.stringify(data)}\n\n`, 'latin1');
}

/** How long the reader waits before it connects again, in milliseconds. */
export function retryFrame(ms: number): Buffer {
  return Buffer.from(`retry: ${ms}\n\n`, 'latin1');
}

function minimal(event: Event): string {
  return (
    `{"event_id":${quoteJson(event.eventId)},"event_type":${quoteJson(event.eventType)},"topic":${quoteJson(event.topic)}` +
    `,"entity_type":${quoteJsonOrNull(event.entityType)},"entity_id":${quoteJsonOrNull(event.entityId)}}`
  );
}
