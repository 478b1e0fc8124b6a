/** The door for Express: `app.post('/webhooks', expressWebhook(handler))`, before `express.json()` or after `express.raw()`. */
import type { WebhookHandler } from '../webhook-handler.ts';
import { exchange, type NodeRequest, type NodeResponse } from './node-exchange.ts';

/** Express 5 takes a rejection to its error handler by itself. */
export function expressWebhook(
  handler: WebhookHandler,
): (request: NodeRequest, response: NodeResponse) => Promise<void> {
  return (request, response) => exchange(handler, request, response);
}
