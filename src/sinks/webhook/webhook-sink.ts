/**
 * HTTP POST with Standard Webhooks headers, to any receiver.
 *
 * One request per batch; with `batch: false`, a `body` or a preset one request per event, one after the other. The latter stop at the first event
 * that is not delivered. The events after it are answered `unavailable` without being sent, so that none overtakes an event
 * that will be tried again or that waits for a person.
 *
 * The status of the answer decides (http-verdict.ts). The router retries, not the sink. The `webhook-id` stays the same over
 * retries and restarts, so a receiver can drop a batch that it has seen.
 */
import type { SinkConfigOf } from '../../config/sinks/sinks.ts';
import { sendsBatches } from '../../config/sinks/webhook.ts';
import { batchBody, batchId } from '../../envelope.ts';
import type { Event } from '../../event.ts';
import type { Batch, Sink, Verdict } from '../../pipeline.ts';
import { VERSION } from '../../version.ts';
import { textToWire, wireBytes, type WireText } from '../../wire-text.ts';
import { CLOUDEVENT_TYPE, CLOUDEVENTS_BATCH_TYPE, cloudEventBatch, cloudEventOf } from './cloudevents.ts';
import { HttpTarget } from '../http/http-target.ts';
import { wayOf } from '../http/way.ts';
import { verdictOfAnswer, verdictOfError } from '../http/http-verdict.ts';
import { secretsOfHeader, secretsOfSigning, secretsOfTemplate } from '../answer/known-secrets.ts';
import type { SinkContext } from '../../sink-context.ts';
import { signingKeys } from '../../signing-secret.ts';
import { kindOf } from '../../template/escapes.ts';
import { scopeOf } from '../../template/event-scope.ts';
import type { Template } from '../../template/template.ts';
import { soundTemplate } from '../../template/template-source.ts';
import { type Obstacle, oneByOne } from '../one-by-one.ts';
import { refuseUnsound } from '../refuse-unsound.ts';
import { verdictOfTemplate } from '../template-verdict.ts';
import { signatureOf } from './webhook-signature.ts';

const PLAIN = /^[!-~](?:[ -~]*[!-~])?$/;
const MAX_HEADER_LENGTH = 1024;
const JSON_TYPE = 'application/json';

type WebhookConfig = SinkConfigOf<'webhook'>;

export function createWebhookSink(config: WebhookConfig, context: SinkContext): Sink {
  refuseUnsound(config, context);
  const { secret, body, content_type: contentType = JSON_TYPE } = config;
  const template =
    body === undefined ? undefined : soundTemplate(body, kindOf(contentType), `sinks.${context.name}.body`);
  const form: SingleForm = { config, name: context.name, template, contentType };
  const keys = secret === undefined ? [] : signingKeys(secret);
  const target = new HttpTarget({
    url: config.url,
    headers: { 'user-agent': `walpost/${VERSION}`, ...extraHeaders(config) },
    connections: config.concurrency,
    timeout: config.timeout,
    ...wayOf(config),
    secrets: [
      ...Object.values(config.headers).flatMap(secretsOfHeader),
      ...secretsOfSigning(secret, keys),
      ...secretsOfTemplate(template?.source),
    ],
    secretPath: true,
    clock: context.clock,
  });

  const send = async (message: Message, traceparent: string | undefined, signal: AbortSignal): Promise<Verdict> => {
    const timestamp = Math.floor(context.clock.wallTime() / 1000);
    const headers: Record<string, string> = { ...message.headers, 'webhook-timestamp': String(timestamp) };
    if (traceparent !== undefined) headers['traceparent'] = traceparent;
    headers['webhook-id'] = message.id;
    const bytes = wireBytes(message.body);
    const signature = keys.length === 0 ? undefined : signatureOf(keys, { id: message.id, timestamp, body: bytes });
    if (signature !== undefined) headers['webhook-signature'] = signature;
    const secrets = signature === undefined ? [] : [signature];
    try {
      return verdictOfAnswer(await target.post({ headers, sent: message, bytes, secrets }, signal));
    } catch (error) {
      if (signal.aborted) return { kind: 'unavailable', reason: 'the destination did not answer in time' };
      return verdictOfError(error);
    }
  };

  return {
    deliver: async (batch, signal, time) => {
      const post = (message: Message): Promise<Verdict> => send(message, batch.traceparent, signal);
      if (sendsBatches(config)) return post(batchMessage(batch, config, context));
      const one = async (event: Event): Promise<Verdict> => {
        let message: Message;
        try {
          message = singleMessage(batch, event, form);
        } catch (error) {
          return verdictOfTemplate(error, 'body');
        }
        return post(message);
      };
      return oneByOne(batch.events, { time, send: one, behind: unsent });
    },
    close: () => target.close(),
  };
}

interface Message {
  readonly id: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly events: readonly Event[];
  readonly body: WireText;
}

function batchMessage(batch: Batch, config: WebhookConfig, { name }: SinkContext): Message {
  const { events, lane, job = null } = batch;
  const id = batchId({ sink: name, job, lane, events });
  if (config.format === 'cloudevents') {
    return { id, events, headers: { 'content-type': CLOUDEVENTS_BATCH_TYPE }, body: cloudEventBatch(events) };
  }
  return { id, events, headers: { 'content-type': JSON_TYPE }, body: batchBody({ sink: name, batch, id }) };
}

/** Throws a TemplateFailure. */
function singleMessage(batch: Batch, event: Event, { config, name, template, contentType }: SingleForm): Message {
  const events = [event];
  const id = batchId({ sink: name, job: batch.job ?? null, lane: batch.lane, events });
  const cloud = config.format === 'cloudevents';
  const type = headerText(event.eventType) ?? event.eventId;
  const key = headerText(event.idempotencyKey ?? '') ?? headerText(event.eventId) ?? id;
  const headers = {
    'content-type': template ? contentType : cloud ? CLOUDEVENT_TYPE : JSON_TYPE,
    'walpost-event-type': type,
    'idempotency-key': key,
    ...(config.preset === 'n8n' && { 'x-event-type': type, 'x-idempotency-key': key }),
  };
  if (template) return { id, headers, events, body: textToWire(template.render(scopeOf(event)).toWellFormed()) };
  const body = cloud ? cloudEventOf(event) : batchBody({ sink: name, batch: { ...batch, events }, id });
  return { id, headers, events, body };
}

interface SingleForm {
  readonly config: WebhookConfig;
  readonly name: string;
  readonly template: Template | undefined;
  /** Of what the template gives. */
  readonly contentType: string;
}

/** As long as the event before it waits, there is no use in asking for the next one. */
function unsent({ retryAfter }: Obstacle): Verdict {
  const verdict: Verdict = { kind: 'unavailable', reason: 'not sent: an event before it was not delivered' };
  return retryAfter === undefined ? verdict : { ...verdict, retryAfter };
}

/** A header value of printable ASCII; other text percent-encoded; undefined when that is empty or too long. */
function headerText(text: string): string | undefined {
  const value = PLAIN.test(text) ? text : encodeURIComponent(text);
  return value === '' || value.length > MAX_HEADER_LENGTH ? undefined : value;
}

function extraHeaders({ headers }: WebhookConfig): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
}
