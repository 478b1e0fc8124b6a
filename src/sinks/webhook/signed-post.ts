/**
 * The requests of a batch: one for all of it, or one for each event, one after the other. The latter stop at the first event
 * that is not delivered. The events after it are answered `unavailable` without being sent, so that none overtakes an event
 * that will be tried again or that waits for a person.
 */
import type { Clock } from '../../clock.ts';
import { sendsBatches } from '../../config/sinks/webhook.ts';
import type { Event } from '../../event.ts';
import type { AttemptTime, Batch, Verdict, Verdicts } from '../../pipeline.ts';
import { VERSION } from '../../version.ts';
import { wireBytes } from '../../wire-text.ts';
import type { HttpTarget } from '../http/http-target.ts';
import { verdictOfAnswer, verdictOfError } from '../http/http-verdict.ts';
import { type Obstacle, oneByOne } from '../one-by-one.ts';
import { verdictOfTemplate } from '../template-verdict.ts';
import { batchMessage, singleMessage, type WebhookForm, type WebhookMessage } from './webhook-message.ts';
import { signatureOf } from './webhook-signature.ts';

/** Where a batch goes, and the keys that sign it; nothing is signed without a key. */
export interface SignedTarget {
  readonly target: HttpTarget;
  readonly keys: readonly Buffer[];
}

/** What every request has, and what the configuration adds to it; names in lower case, so that each is there once. */
export function headersOf(extra: Readonly<Record<string, string>>): Record<string, string> {
  return { 'user-agent': `walpost/${VERSION}`, ...lowerCased(extra) };
}

export function lowerCased(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
}

export interface WebhookAttempt {
  readonly batch: Batch;
  readonly form: WebhookForm;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly time: AttemptTime | undefined;
}

export async function postBatch(to: SignedTarget, attempt: WebhookAttempt): Promise<Verdicts> {
  const { batch, form, time } = attempt;
  if (sendsBatches(form.config)) return post(to, batchMessage(batch, form), attempt);
  const one = (event: Event): Promise<Verdict> => {
    let message: WebhookMessage;
    try {
      message = singleMessage(batch, event, form);
    } catch (error) {
      return Promise.resolve(verdictOfTemplate(error, 'body'));
    }
    return post(to, message, attempt);
  };
  return oneByOne(batch.events, { time, send: one, behind: unsent });
}

async function post(
  { target, keys }: SignedTarget,
  message: WebhookMessage,
  attempt: WebhookAttempt,
): Promise<Verdict> {
  const { batch, clock, signal } = attempt;
  const timestamp = Math.floor(clock.wallTime() / 1000);
  const headers = [...message.headers, 'webhook-id', message.id, 'webhook-timestamp', String(timestamp)];
  if (batch.traceparent !== undefined) headers.push('traceparent', batch.traceparent);
  const bytes = wireBytes(message.body);
  const signature = keys.length === 0 ? undefined : signatureOf(keys, { id: message.id, timestamp, body: bytes });
  if (signature !== undefined) headers.push('webhook-signature', signature);
  const secrets = signature === undefined ? [] : [signature];
  try {
    return verdictOfAnswer(await target.post({ headers, sent: message, bytes, secrets }, signal));
  } catch (error) {
    if (signal.aborted) return { kind: 'unavailable', reason: 'the destination did not answer in time' };
    return verdictOfError(error);
  }
}

/** As long as the event before it waits, there is no use in asking for the next one. */
function unsent({ retryAfter }: Obstacle): Verdict {
  const verdict: Verdict = { kind: 'unavailable', reason: 'not sent: an event before it was not delivered' };
  return retryAfter === undefined ? verdict : { ...verdict, retryAfter };
}
