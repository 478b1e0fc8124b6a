/**
 * HTTP POST with Standard Webhooks headers, to any receiver.
 *
 * One request a batch; or, with `batch: false`, one request an event, one after the other. Those stop at the first event
 * that is not delivered: what comes after it is answered `unavailable` unsent, so that nothing overtakes an event that
 * will be tried again, or that a person is to look at.
 *
 * An answer decides by its status (http-verdict.ts). Nothing is resent here: retrying is the router's part, and the
 * `webhook-id` stays the same over retries and restarts, so a receiver can drop what it has seen.
 */
import { validateHeaderName, validateHeaderValue } from 'node:http';
import type { SinkConfigOf } from '../config/sinks.ts';
import { batchBody, batchId } from '../envelope.ts';
import { WalpostError } from '../errors.ts';
import type { Event } from '../event.ts';
import { type Batch, DELIVERED, type Sink, type Verdict } from '../pipeline.ts';
import { VERSION } from '../version.ts';
import { wireBytes, type WireText } from '../wire-text.ts';
import { CLOUDEVENT_TYPE, CLOUDEVENTS_BATCH_TYPE, cloudEventBatch, cloudEventOf } from './cloudevents.ts';
import { HttpTarget } from './http-target.ts';
import { verdictOfAnswer, verdictOfError } from './http-verdict.ts';
import { concurrencyOf } from './sink-concurrency.ts';
import type { SinkContext } from './sink-context.ts';
import { isRefusedHost } from './ssrf-guard.ts';
import { signatureOf, signingKeys } from './webhook-signature.ts';

/** Headers that belong to the exchange itself. */
const OURS =
  /^(content-(type|length|encoding)|transfer-encoding|connection|keep-alive|upgrade|expect|te|trailer|webhook-.*)$/;
const PLAIN = /^[!-~](?:[ -~]*[!-~])?$/;
const MAX_HEADER_LENGTH = 1024;

type WebhookConfig = SinkConfigOf<'webhook'>;

export function createWebhookSink(config: WebhookConfig, context: SinkContext): Sink {
  const { allow_private: allowPrivate, secret } = config;
  if (!allowPrivate && isRefusedHost(new URL(config.url).hostname)) {
    throw invalid(context, 'url', 'is a private address; set allow_private: true to allow it');
  }
  const keys = secret === undefined ? [] : signingKeys(secret);
  if (!keys) throw invalid(context, 'secret', 'has something else than base64 after whsec_');
  const target = new HttpTarget({
    url: config.url,
    headers: { 'user-agent': `walpost/${VERSION}`, ...extraHeaders(config, context) },
    connections: concurrencyOf(config),
    timeout: config.timeout,
    allowPrivate,
    secrets: [...Object.values(config.headers), ...(secret?.split(/\s+/) ?? [])],
    clock: context.clock,
  });

  const post = async (message: Message, signal: AbortSignal): Promise<Verdict> => {
    const timestamp = Math.floor(context.clock.wallTime() / 1000);
    const headers: Record<string, string> = { ...message.headers, 'webhook-timestamp': String(timestamp) };
    headers['webhook-id'] = message.id;
    const body = wireBytes(message.body);
    if (keys.length > 0) headers['webhook-signature'] = signatureOf(keys, { id: message.id, timestamp, body });
    try {
      return verdictOfAnswer(await target.post({ headers, body, marks: [message.id, 'specversion'] }, signal));
    } catch (error) {
      if (signal.aborted) return { kind: 'unavailable', reason: `${target.host} did not answer in time` };
      return verdictOfError(target.host, error);
    }
  };

  return {
    deliver: async (batch, signal) => {
      if (config.batch) return post(batchMessage(batch, config, context), signal);
      return inOrder(batch.events, (event) => post(singleMessage(batch, event, { config, context }), signal));
    },
    close: () => target.close(),
  };
}

interface Message {
  readonly id: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: WireText;
}

function batchMessage(batch: Batch, config: WebhookConfig, { name }: SinkContext): Message {
  const { events, job = null } = batch;
  const id = batchId({ sink: name, job, events });
  if (config.format === 'cloudevents') {
    return { id, headers: { 'content-type': CLOUDEVENTS_BATCH_TYPE }, body: cloudEventBatch(events) };
  }
  return { id, headers: { 'content-type': 'application/json' }, body: batchBody({ sink: name, batch, id }) };
}

function singleMessage(batch: Batch, event: Event, { config, context }: SingleOptions): Message {
  const { name } = context;
  const events = [event];
  const id = batchId({ sink: name, job: batch.job ?? null, events });
  const cloud = config.format === 'cloudevents';
  return {
    id,
    headers: {
      'content-type': cloud ? CLOUDEVENT_TYPE : 'application/json',
      'walpost-event-type': headerText(event.eventType) ?? event.eventId,
      'idempotency-key': headerText(event.idempotencyKey ?? '') ?? headerText(event.eventId) ?? id,
    },
    body: cloud ? cloudEventOf(event) : batchBody({ sink: name, batch: { ...batch, events }, id }),
  };
}

interface SingleOptions {
  readonly config: WebhookConfig;
  readonly context: SinkContext;
}

async function inOrder(events: readonly Event[], send: (event: Event) => Promise<Verdict>): Promise<Verdict[]> {
  const verdicts: Verdict[] = [];
  for (const event of events) {
    const verdict = await send(event);
    verdicts.push(verdict);
    if (verdict.kind !== 'delivered') break;
  }
  const last = verdicts.at(-1) ?? DELIVERED;
  while (verdicts.length < events.length) verdicts.push(unsent(last));
  return verdicts;
}

/** As long as the event before it waits, there is no use in asking for the next one. */
function unsent(before: Verdict): Verdict {
  const retryAfter = before.kind === 'failed' || before.kind === 'unavailable' ? before.retryAfter : 0;
  const verdict: Verdict = { kind: 'unavailable', reason: 'not sent: an event before it was not delivered' };
  return retryAfter === undefined ? verdict : { ...verdict, retryAfter };
}

/** A header value of printable ASCII; other text percent-encoded; undefined when that is empty or too long. */
function headerText(text: string): string | undefined {
  const value = PLAIN.test(text) ? text : encodeURIComponent(text);
  return value === '' || value.length > MAX_HEADER_LENGTH ? undefined : value;
}

function extraHeaders({ headers }: WebhookConfig, context: SinkContext): Record<string, string> {
  const checked: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) {
    const lower = name.toLowerCase();
    if (OURS.test(lower)) throw invalid(context, `headers.${name}`, 'is a header that walpost sets itself');
    try {
      validateHeaderName(lower);
      validateHeaderValue(lower, value);
    } catch {
      throw invalid(context, `headers.${name}`, 'is not a valid HTTP header');
    }
    checked[lower] = value;
  }
  return checked;
}

function invalid({ name }: SinkContext, option: string, problem: string): WalpostError {
  return new WalpostError('CONFIG_INVALID', { detail: `sinks.${name}.${option} ${problem}.` });
}
