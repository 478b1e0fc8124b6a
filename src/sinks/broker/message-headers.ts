/**
 * The headers of a message at a broker.
 *
 * walpost's own come first. Of the headers of the event those are added that a broker can carry as they are: text, numbers
 * and booleans of one line. The envelope has all of them, so nothing is lost by leaving one out.
 */
import type { Event } from '../../event.ts';
import { wireString, wireToText } from '../../wire-text.ts';

/** Names with a meaning of their own at a broker. An event must not set them: `Nats-Rollup` deletes messages, `CC` routes. */
const RESERVED = /^(?:nats-|walpost-|x-|(?:cc|bcc|content-type|idempotency-key)$)/i;
const NAME = /^[A-Za-z][\w-]{0,99}$/;
const VALUE = /^[!-~](?:[ -~]{0,1022}[!-~])?$/;
/** Printable, and no percent sign. */
const PLAIN_ID = /^[!-$&-~]+$/;
/** An event with more of them keeps the first. */
const MOST = 32;

/** Its value is printable ASCII. */
export const EVENT_ID = 'walpost-event-id';

type Header = readonly [name: string, value: string];
export type MessageHeaders = readonly Header[];

const CONTENT_TYPE: Header = ['content-type', 'application/json'];

export function messageHeaders(event: Event): MessageHeaders {
  const { eventType, topic, idempotencyKey } = event;
  const own: Header[] = [
    CONTENT_TYPE,
    [EVENT_ID, idText(event.eventId)],
    ['walpost-organization-id', idText(event.organizationId)],
  ];
  if (VALUE.test(eventType)) own.push(['walpost-event-type', eventType]);
  if (VALUE.test(topic)) own.push(['walpost-topic', topic]);
  if (idempotencyKey !== null && VALUE.test(idempotencyKey)) own.push(['idempotency-key', idempotencyKey]);
  return wireString(event.headers) === '{}' ? own : [...own, ...carried(event)];
}

/**
 * An id as a header can hold it: percent-encoded when it has a blank, a percent sign, a control character or a letter beyond
 * ASCII. Two ids never become one text: a client that trims values would make `a` of `a `, and the server would take them
 * for the same message.
 */
export function idText(id: string): string {
  return PLAIN_ID.test(id) ? id : encodeURIComponent(id.toWellFormed());
}

function carried({ headers }: Event): [string, string][] {
  const members = Object.entries(JSON.parse(wireToText(headers)) as Record<string, unknown>);
  return members
    .filter(([name, value]) => NAME.test(name) && !RESERVED.test(name) && isPlain(value) && VALUE.test(String(value)))
    .slice(0, MOST)
    .map(([name, value]) => [name, String(value)]);
}

function isPlain(value: unknown): boolean {
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean';
}
