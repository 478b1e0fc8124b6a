/**
 * HTTP POST with Standard Webhooks headers, to any receiver.
 *
 * The status of the answer decides (http-verdict.ts). The router retries, not the sink. The `webhook-id` stays the same over
 * retries and restarts, so a receiver can drop a batch that it has seen.
 */
import type { Sink } from '../../pipeline.ts';
import { signingKeys } from '../../signing-secret.ts';
import { secretsOfHeader, secretsOfSigning, secretsOfTemplate } from '../answer/known-secrets.ts';
import { HttpTarget } from '../http/http-target.ts';
import { wayOf } from '../http/way.ts';
import { refuseUnsound } from '../refuse-unsound.ts';
import { createEndpointSink, type EndpointSinkContext } from './endpoint-sink.ts';
import { headersOf, postBatch } from './signed-post.ts';
import { type WebhookConfig, webhookForm } from './webhook-message.ts';

export function createWebhookSink(config: WebhookConfig, context: EndpointSinkContext): Sink {
  refuseUnsound(config, context);
  if (config.endpoints === true) return createEndpointSink(config, context);
  const { secret, url = '' } = config;
  const form = webhookForm(config, context.name);
  const keys = secret === undefined ? [] : signingKeys(secret);
  const target = new HttpTarget({
    url,
    headers: headersOf(config.headers),
    connections: config.concurrency,
    timeout: config.timeout,
    ...wayOf(config),
    secrets: [
      ...Object.values(config.headers).flatMap(secretsOfHeader),
      ...secretsOfSigning(secret, keys),
      ...secretsOfTemplate(form.template?.source),
    ],
    secretPath: true,
    clock: context.clock,
  });
  return {
    deliver: (batch, signal, time) => postBatch({ target, keys }, { batch, form, clock: context.clock, signal, time }),
    close: () => target.close(),
  };
}
