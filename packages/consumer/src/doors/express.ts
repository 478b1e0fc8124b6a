/** The door for Express: `app.post('/webhooks', expressWebhook(handler))`, before `express.json()` or after `express.raw()`. */
import type { WebhookHandler } from '../webhook-handler.ts';
import { exchange, type NodeRequest, type NodeResponse } from './node-exchange.ts';

/** What throws nevertheless goes to `next`, as Express expects. */
export function expressWebhook(
  handler: WebhookHandler,
): (request: NodeRequest, response: NodeResponse, next: (error: unknown) => void) => void {
  return (request, response, next) => void exchange(handler, request, response).catch(next);
}
