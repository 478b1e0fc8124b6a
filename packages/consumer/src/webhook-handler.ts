/**
 * A receiver of walpost's webhooks as one function from a request to its answer.
 *
 * walpost reads one status for a whole batch. So the first event that is not handled ends the batch with an error, and the
 * store remembers those before it: the batch comes again, they are passed over, and the order of the organization holds.
 */
import type { Envelope, EnvelopeBatch } from '../../vocabulary/envelope.ts';
import { signingKeys } from '../../vocabulary/signature.ts';
import type { DedupeStore } from './dedupe/dedupe-store.ts';
import { handlerLookup, type WebhookEventHandlers } from './event-handlers.ts';
import { type BatchOutcome, type EventHandling, handleEvents } from './handle-events.ts';
import { logError } from './log-error.ts';
import { EnvelopeError, parseEnvelopes } from './parse-envelope.ts';
import { requestBytes, type WebhookBody } from './request-bytes.ts';
import { verifyWebhook, WebhookVerificationError } from './verify-webhook.ts';

export interface WebhookHandlerOptions<Payloads, Transaction> {
  /** The secret of the sink in walpost.yaml. The old and the new one while it is changed. */
  readonly secrets: string | readonly string[];
  readonly events: WebhookEventHandlers<Payloads, Transaction>;
  /** `postgresInbox`, `redisDedupe`, `memoryDedupe`, or a store of your own. */
  readonly dedupe: DedupeStore<Transaction>;
  /** How far the timestamp of a request may lie from now, in seconds; 300 when absent. */
  readonly toleranceSeconds?: number;
  /** Bytes of a body; 64 MiB when absent, which is more than walpost sends unless it is told to. */
  readonly maxBytes?: number;
  /** An event without a handler: `accept` it (the answer says so), or `refuse` it like a PermanentError. */
  readonly unknownTypes?: 'accept' | 'refuse';
  /** What a handler or the store threw; console.error when absent. No answer holds it. */
  readonly onError?: (error: unknown, event: Envelope) => void;
  /** For tests. */
  readonly now?: () => Date;
}

/** What is needed of a request. That of fetch fits. */
export interface WebhookRequest {
  readonly method: string;
  readonly headers: { get(name: string): string | null };
  readonly body: WebhookBody | null;
  /** Someone has read the body before: nobody can verify it any more. */
  readonly bodyUsed: boolean;
}

/** Rejects with what `onError` throws, and with nothing else. */
export type WebhookHandler = (request: WebhookRequest) => Promise<Response>;

const MAX_BYTES = 64 * 1024 * 1024;
const STATUS_OF_STOP = { failed: 500, refused: 422, busy: 503 } as const;

/** Throws WebhookVerificationError when a secret is none, TypeError when nothing would ever be handled. */
export function createWebhookHandler<Payloads, Transaction>(
  options: WebhookHandlerOptions<Payloads, Transaction>,
): WebhookHandler {
  const { events, dedupe, unknownTypes = 'accept', onError = logError } = options;
  const secrets = [options.secrets].flat();
  if (secrets.length === 0 || secrets.some((secret) => signingKeys(secret) === undefined)) {
    throw new WebhookVerificationError('secret', 'secrets: none was given, or one is empty, or no base64');
  }
  if (Object.keys(events).length === 0) throw new TypeError('events: name at least one type, or "*"');
  const handling: EventHandling<Transaction> = {
    handlerOf: handlerLookup<Transaction>(events),
    dedupe,
    refuseUnknown: unknownTypes === 'refuse',
    onError,
  };
  return async (request) => {
    const batch = await batchOf(request, options);
    return batch instanceof Response ? batch : answerOf(await handleEvents(batch.events, handling));
  };
}

/** The batch of a request that may be trusted, or the answer for any other. */
async function batchOf<Payloads, Transaction>(
  request: WebhookRequest,
  {
    secrets,
    toleranceSeconds,
    maxBytes = MAX_BYTES,
    now = () => new Date(),
  }: WebhookHandlerOptions<Payloads, Transaction>,
): Promise<EnvelopeBatch | Response> {
  if (request.method !== 'POST') return refusal(405, 'only POST is answered', { allow: 'POST' });
  if (request.bodyUsed) {
    return refusal(500, 'the body was read before this handler: mount it before express.json() and other body parsers');
  }
  const tooLarge = () => refusal(413, `the body has more than ${maxBytes} bytes`, { connection: 'close' });
  if (Number(request.headers.get('content-length') ?? 0) > maxBytes) return tooLarge();
  try {
    const body = await requestBytes(request.body, maxBytes);
    if (body === undefined) return tooLarge();
    const bound = toleranceSeconds === undefined ? {} : { toleranceSeconds };
    await verifyWebhook({ secrets, headers: request.headers, body, now: now(), ...bound });
    return parseEnvelopes(body);
  } catch (error) {
    if (error instanceof WebhookVerificationError) return refusal(401, error.message);
    if (error instanceof EnvelopeError) return refusal(400, error.message);
    return refusal(400, 'the body could not be read to its end');
  }
}

function answerOf({ stopped, ...counts }: BatchOutcome): Response {
  if (stopped === undefined) return Response.json(counts);
  const { event_id, why } = stopped;
  const headers = why === 'busy' ? { 'retry-after': '1' } : {};
  return Response.json({ error: why, event_id, ...counts }, { status: STATUS_OF_STOP[why], headers });
}

function refusal(status: number, error: string, headers: Record<string, string> = {}): Response {
  return Response.json({ error }, { status, headers });
}
