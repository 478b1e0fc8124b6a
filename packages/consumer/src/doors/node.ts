/** The door for Node's own server: `http.createServer(nodeWebhook(handler))`. */
import type { WebhookHandler } from '../webhook-handler.ts';
import { exchange, type NodeRequest, type NodeResponse } from './node-exchange.ts';

/** Resolves when the answer was handed to the response. */
export function nodeWebhook(handler: WebhookHandler): (request: NodeRequest, response: NodeResponse) => Promise<void> {
  return (request, response) => exchange(handler, request, response);
}
