/** For receivers of walpost's webhooks: a handler of requests, stores that drop repeats, and the parts that it is made of. */
export type { Envelope, EnvelopeBatch } from '../../vocabulary/envelope.ts';
export { WEBHOOK_HEADERS } from '../../vocabulary/headers.ts';
export type { DedupeOutcome, DedupeStore } from './dedupe/dedupe-store.ts';
export { memoryDedupe, type MemoryDedupeOptions } from './dedupe/memory-dedupe.ts';
export {
  type InboxClient,
  type InboxDatabase,
  type InboxPool,
  postgresInbox,
  type PostgresInboxOptions,
  type QueriedRows,
} from './dedupe/postgres-inbox.ts';
export { type RedisCommands, redisDedupe, type RedisDedupeOptions } from './dedupe/redis-dedupe.ts';
export type { WebhookEventHandler, WebhookEventHandlers } from './event-handlers.ts';
export { EnvelopeError, parseEnvelope, parseEnvelopes } from './parse-envelope.ts';
export { PermanentError } from './permanent-error.ts';
export type { WebhookBody } from './request-bytes.ts';
export {
  type RequestHeaders,
  type VerifiedWebhook,
  verifyWebhook,
  type VerifyWebhookOptions,
  type WebhookFault,
  WebhookVerificationError,
} from './verify-webhook.ts';
export {
  createWebhookHandler,
  type WebhookHandler,
  type WebhookHandlerOptions,
  type WebhookRequest,
} from './webhook-handler.ts';
