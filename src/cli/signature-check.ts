import { timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { signatureOf } from '../sinks/webhook/webhook-signature.ts';

/** What a receiver finds out about a request. `unknown`: it is signed, and no secret is known here. */
export type SignatureFinding = 'verified' | 'wrong' | 'old' | 'missing' | 'unsigned' | 'unknown';

/** As Standard Webhooks recommends. */
const MOST_AGE_SECONDS = 300;

/** Checks as a receiver does. Without keys nothing can be checked. */
export function checkSignature(
  keys: readonly Buffer[] | undefined,
  { headers, body, now }: { headers: IncomingHttpHeaders; body: Buffer; now: number },
): SignatureFinding {
  const [id, timestamp, given] = ['webhook-id', 'webhook-timestamp', 'webhook-signature'].map((name) =>
    String(headers[name] ?? ''),
  ) as [string, string, string];
  if (given === '') return keys ? 'missing' : 'unsigned';
  if (!keys) return 'unknown';
  if (!(Math.abs(now / 1000 - Number(timestamp)) <= MOST_AGE_SECONDS)) return 'old';
  const expected = signatureOf(keys, { id, timestamp: Number(timestamp), body }).split(' ');
  const matches = (signature: string): boolean => expected.some((right) => isSame(signature, right));
  return given.split(' ').some(matches) ? 'verified' : 'wrong';
}

function isSame(first: string, second: string): boolean {
  const [a, b] = [Buffer.from(first), Buffer.from(second)];
  return a.length === b.length && timingSafeEqual(a, b);
}
