/** Names of the headers of a webhook request, in lower case. The first three are those of Standard Webhooks. */
export const WEBHOOK_HEADERS = {
  id: 'webhook-id',
  timestamp: 'webhook-timestamp',
  signature: 'webhook-signature',
  /** Only in requests of one event (`batch: false`), like the next. */
  eventType: 'walpost-event-type',
  idempotencyKey: 'idempotency-key',
} as const;
