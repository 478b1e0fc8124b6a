/** For receivers of walpost's webhooks: check the signature, then read the body. */
export type { Envelope, EnvelopeBatch } from '../../vocabulary/envelope.ts';
export { WEBHOOK_HEADERS } from '../../vocabulary/headers.ts';
export { EnvelopeError, parseEnvelope, parseEnvelopes } from './parse-envelope.ts';
export {
  type RequestHeaders,
  type VerifiedWebhook,
  verifyWebhook,
  type VerifyWebhookOptions,
  type WebhookFault,
  WebhookVerificationError,
} from './verify-webhook.ts';
