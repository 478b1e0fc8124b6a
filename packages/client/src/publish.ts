import { rowsOf, type Transaction } from './database.ts';
import { argumentsTextOf, callOf, type NewEvent } from './new-event.ts';
import { requireFit } from './payload-limit.ts';

const PUBLISH_MANY = `
  SELECT it.id::text AS event_id FROM walpost.publish_many($1::text::jsonb) WITH ORDINALITY AS it (id, n) ORDER BY it.n`;

interface Written {
  readonly event_id: string;
}

/** Publishes in the transaction; returns the id of the event, or of the first one with the same idempotency key. */
export async function publish(tx: Transaction, event: NewEvent): Promise<string> {
  const { text, values, payload } = callOf('publish', event);
  await requireFit(tx, event, payload);
  return idsOf(await rowsOf<Written>(tx, text, values))[0] as string;
}

/** Publishes all of them with one statement, in their order; returns their ids in that order. */
export async function publishMany(tx: Transaction, events: readonly NewEvent[]): Promise<readonly string[]> {
  if (events.length === 0) return [];
  const given = events.map((event) => ({ event, ...argumentsTextOf(event) }));
  for (const { event, payload } of given) await requireFit(tx, event, payload);
  return idsOf(await rowsOf<Written>(tx, PUBLISH_MANY, [`[${given.map(({ text }) => text).join(',')}]`]));
}

/** An event without a row: quick, and gone when it cannot be delivered. It has no idempotency key. */
export async function emit(tx: Transaction, event: Omit<NewEvent, 'idempotencyKey'>): Promise<string> {
  const { text, values, payload } = callOf('emit', event);
  await requireFit(tx, event, payload);
  return idsOf(await rowsOf<Written>(tx, text, values))[0] as string;
}

function idsOf(rows: readonly Written[]): readonly string[] {
  return rows.map(({ event_id }) => event_id);
}
