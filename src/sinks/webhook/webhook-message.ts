/** What a webhook is sent: the body of a batch or of one event, and the headers that belong to it. */
import type { SinkConfigOf } from '../../config/sinks/sinks.ts';
import { batchBody, batchId } from '../../envelope.ts';
import type { Event } from '../../event.ts';
import type { Batch } from '../../pipeline.ts';
import { kindOf } from '../../template/escapes.ts';
import { scopeOf } from '../../template/event-scope.ts';
import type { Template } from '../../template/template.ts';
import { soundTemplate } from '../../template/template-source.ts';
import { textToWire, type WireText } from '../../wire-text.ts';
import type { HeaderList } from '../http/http-target.ts';
import { CLOUDEVENT_TYPE, CLOUDEVENTS_BATCH_TYPE, cloudEventBatch, cloudEventOf } from './cloudevents.ts';

const PLAIN = /^[!-~](?:[ -~]*[!-~])?$/;
const MAX_HEADER_LENGTH = 1024;
const JSON_TYPE = 'application/json';

export type WebhookConfig = SinkConfigOf<'webhook'>;

export interface WebhookMessage {
  readonly id: string;
  readonly headers: HeaderList;
  readonly events: readonly Event[];
  readonly body: WireText;
}

/** The form of what a sink sends. */
export interface WebhookForm {
  readonly config: WebhookConfig;
  readonly name: string;
  readonly template: Template | undefined;
  /** Of what the template gives. */
  readonly contentType: string;
}

/** Throws CONFIG_INVALID when the template has a fault. */
export function webhookForm(config: WebhookConfig, name: string): WebhookForm {
  const { body, content_type: contentType = JSON_TYPE } = config;
  const template = body === undefined ? undefined : soundTemplate(body, kindOf(contentType), `sinks.${name}.body`);
  return { config, name, template, contentType };
}

export function batchMessage(batch: Batch, { config, name }: WebhookForm): WebhookMessage {
  const { events, lane, job = null } = batch;
  const id = batchId({ sink: name, job, lane, events });
  if (config.format === 'cloudevents') {
    return { id, events, headers: ['content-type', CLOUDEVENTS_BATCH_TYPE], body: cloudEventBatch(events) };
  }
  return { id, events, headers: ['content-type', JSON_TYPE], body: batchBody({ sink: name, batch, id }) };
}

/** Throws a TemplateFailure. */
export function singleMessage(
  batch: Batch,
  event: Event,
  { config, name, template, contentType }: WebhookForm,
): WebhookMessage {
  const events = [event];
  const id = batchId({ sink: name, job: batch.job ?? null, lane: batch.lane, events });
  const cloud = config.format === 'cloudevents';
  const type = headerText(event.eventType) ?? event.eventId;
  const key = headerText(event.idempotencyKey ?? '') ?? headerText(event.eventId) ?? id;
  const sentType = template ? contentType : cloud ? CLOUDEVENT_TYPE : JSON_TYPE;
  const headers = ['content-type', sentType, 'walpost-event-type', type, 'idempotency-key', key];
  if (config.preset === 'n8n') headers.push('x-event-type', type, 'x-idempotency-key', key);
  if (template) return { id, headers, events, body: textToWire(template.render(scopeOf(event)).toWellFormed()) };
  const body = cloud ? cloudEventOf(event) : batchBody({ sink: name, batch: { ...batch, events }, id });
  return { id, headers, events, body };
}

/** A header value of printable ASCII; other text percent-encoded; undefined when that is empty or too long. */
function headerText(text: string): string | undefined {
  const value = PLAIN.test(text) ? text : encodeURIComponent(text);
  return value === '' || value.length > MAX_HEADER_LENGTH ? undefined : value;
}
