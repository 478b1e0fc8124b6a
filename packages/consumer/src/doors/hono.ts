/** The door for Hono: `app.post('/webhooks', honoWebhook(handler))`. */
import type { WebhookHandler } from '../webhook-handler.ts';

/** What is needed of Hono's context. */
export interface HonoContextLike {
  readonly req: { readonly raw: Request; arrayBuffer(): Promise<ArrayBuffer> };
}

/** Where another middleware has read the body, Hono has kept it. */
export function honoWebhook(handler: WebhookHandler): (context: HonoContextLike) => Promise<Response> {
  return async ({ req }) => {
    const { method, headers, bodyUsed } = req.raw;
    if (!bodyUsed) return handler(req.raw);
    return handler({ method, headers, body: new Uint8Array(await req.arrayBuffer()), bodyUsed: false });
  };
}
