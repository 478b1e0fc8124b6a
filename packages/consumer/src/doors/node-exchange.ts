import type { WebhookHandler, WebhookRequest } from '../webhook-handler.ts';

/** What is needed of `http.IncomingMessage`, and of what frameworks add to it. */
export interface NodeRequest extends AsyncIterable<Uint8Array> {
  readonly method?: string | undefined;
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  /** Someone has begun to read it. */
  readonly readableDidRead: boolean;
  /** A Buffer after express.raw(). */
  readonly body?: unknown;
}

/** What is needed of `http.ServerResponse`. */
export interface NodeResponse {
  statusCode: number;
  setHeader(name: string, value: string): unknown;
  end(text: string): unknown;
}

/** Hands a request of Node to the handler, and writes its answer. */
export async function exchange(handler: WebhookHandler, request: NodeRequest, response: NodeResponse): Promise<void> {
  const answer = await handler(webhookRequestOf(request));
  response.statusCode = answer.status;
  answer.headers.forEach((value, name) => response.setHeader(name, value));
  response.end(await answer.text());
}

export function webhookRequestOf(request: NodeRequest): WebhookRequest {
  const { method = '', headers, body: parsed } = request;
  const bytes = parsed instanceof Uint8Array ? parsed : undefined;
  return {
    method,
    headers: { get: (name) => textOf(headers[name]) },
    body: bytes ?? request,
    bodyUsed: bytes === undefined && request.readableDidRead,
  };
}

function textOf(value: string | readonly string[] | undefined): string | null {
  return typeof value === 'string' ? value : null;
}
