import { rowsOf, type Transaction } from './database.ts';
import { TooLargeError } from './errors.ts';
import { jsonText } from './json-text.ts';
import type { NewEvent } from './new-event.ts';

/** Of a topic without a setting, and the most that a setting may allow. */
const [DEFAULT_BYTES, MOST_BYTES] = [65_536, 1_048_576];

const LIMIT = `
  SELECT s.value #>> '{}' AS bytes FROM walpost.settings AS s
   WHERE s.name = 'max_payload_bytes' AND s.topic IN ($1::text, '*') ORDER BY s.topic = '*' LIMIT 1`;

/**
 * Refuses a payload before it is sent, so that the transaction goes on. Postgres prints a jsonb with blanks and never
 * shorter, so what is too long here is too long there. A small one is sent without asking for the limit of its topic. `payload` is
 * the text that is sent.
 */
export async function requireFit(tx: Transaction, { topic }: Pick<NewEvent, 'topic'>, payload: string): Promise<void> {
  const bytes = bytesOf(payload);
  if (bytes <= DEFAULT_BYTES) return;
  refuseAbove(MOST_BYTES, bytes);
  const [setting] = await rowsOf<{ readonly bytes: string }>(tx, LIMIT, [topic ?? 'default']);
  refuseAbove(Number(setting?.bytes ?? DEFAULT_BYTES), bytes);
}

/** For a client that cannot ask. */
export function requirePossibleSize(event: NewEvent): void {
  refuseAbove(MOST_BYTES, bytesOf(jsonText(event.payload)));
}

function bytesOf(text: string): number {
  return new TextEncoder().encode(text).length;
}

function refuseAbove(limit: number, bytes: number): void {
  if (bytes <= limit) return;
  throw new TooLargeError(`walpost: the payload has ${bytes} bytes, the limit is ${limit}`, {
    code: '54000',
    hint: 'Store the document and publish a reference to it, or raise max_payload_bytes of the topic in walpost.settings.',
  });
}
