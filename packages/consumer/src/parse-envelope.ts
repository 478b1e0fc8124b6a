import type { Envelope, EnvelopeBatch } from '../../vocabulary/envelope.ts';

type Kind = 'text' | 'text or null' | 'number' | 'number or null' | 'object' | 'list' | 'any';

/** Each field that an envelope has, and what JSON has there. */
const ENVELOPE_FIELDS: Readonly<Record<keyof Envelope, Kind>> = {
  event_id: 'text',
  event_type: 'text',
  event_version: 'number',
  organization_id: 'text',
  topic: 'text',
  entity_type: 'text or null',
  entity_id: 'text or null',
  target: 'text or null',
  idempotency_key: 'text or null',
  payload: 'any',
  headers: 'object',
  created_at: 'text or null',
  committed_at: 'text or null',
  lsn: 'text or null',
  ordinal: 'number or null',
  source: 'text',
  replay: 'text or null',
};

const BATCH_FIELDS: Readonly<Record<keyof EnvelopeBatch, Kind>> = {
  batch_id: 'text',
  organization_id: 'text',
  sink: 'text',
  attempt: 'number',
  events: 'list',
};

/** The body is not what walpost sends. The message names the field, and holds nothing of the body. */
export class EnvelopeError extends Error {
  override readonly name = 'EnvelopeError';
}

/** One event. The type of its payload is what the caller says: it is not looked at. */
export function parseEnvelope<Payload = unknown>(body: string | Uint8Array): Envelope<Payload> {
  return checked<Envelope<Payload>>(jsonOf(body), ENVELOPE_FIELDS, 'the envelope');
}

/** The body of a webhook request: a batch of events. */
export function parseEnvelopes<Payload = unknown>(body: string | Uint8Array): EnvelopeBatch<Payload> {
  const batch = checked<EnvelopeBatch<Payload>>(jsonOf(body), BATCH_FIELDS, 'the body');
  batch.events.forEach((event, index) => checked(event, ENVELOPE_FIELDS, `events[${index}]`));
  return batch;
}

function jsonOf(body: string | Uint8Array): unknown {
  try {
    return JSON.parse(typeof body === 'string' ? body : new TextDecoder('utf-8', { fatal: true }).decode(body));
  } catch {
    throw new EnvelopeError('the body is no JSON in UTF-8'); // the error of JSON.parse quotes the body
  }
}

function checked<T>(value: unknown, fields: Readonly<Record<string, Kind>>, name: string): T {
  if (!isA('object', value)) throw new EnvelopeError(`${name} is no object`);
  for (const [field, kind] of Object.entries(fields)) {
    const found = (value as Record<string, unknown>)[field];
    if (!isA(kind, found)) throw new EnvelopeError(`${name} has no ${field}, or one that is not ${kind}`);
  }
  return value as T;
}

function isA(kind: Kind, value: unknown): boolean {
  switch (kind) {
    case 'text':
      return typeof value === 'string';
    case 'text or null':
      return typeof value === 'string' || value === null;
    case 'number':
      return typeof value === 'number';
    case 'number or null':
      return typeof value === 'number' || value === null;
    case 'object':
      return typeof value === 'object' && value !== null && !Array.isArray(value);
    case 'list':
      return Array.isArray(value);
    case 'any':
      return value !== undefined;
  }
}
