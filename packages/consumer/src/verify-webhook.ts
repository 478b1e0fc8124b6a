import { WEBHOOK_HEADERS } from '../../vocabulary/headers.ts';
import { isSignedBy, signaturesIn, signedContent, signingKeys } from '../../vocabulary/signature.ts';

/** The headers of a request: of fetch (`request.headers`), or of Node (`request.headers`), or a plain object. */
export type RequestHeaders =
  { get(name: string): string | null } | Readonly<Record<string, string | readonly string[] | undefined>>;

export interface VerifyWebhookOptions {
  /** The secret of the sink in walpost.yaml. Several while it is changed: one that fits is enough. */
  readonly secrets: string | readonly string[];
  readonly headers: RequestHeaders;
  /** As it arrived. Parsed and printed again it is another text. */
  readonly body: string | Uint8Array;
  /** How far the timestamp may lie from `now`, in both directions. Without a bound a request could be sent again later. */
  readonly toleranceSeconds?: number;
  readonly now?: Date;
}

export interface VerifiedWebhook {
  /** The id of the batch, the same when it is sent again. */
  readonly id: string;
  /** When this try was signed. */
  readonly timestamp: Date;
}

/** `secret` is a fault of the receiver, all others of the request: answer them with 401. */
export type WebhookFault = 'secret' | 'header' | 'timestamp' | 'signature';

export class WebhookVerificationError extends Error {
  override readonly name = 'WebhookVerificationError';
  readonly fault: WebhookFault;

  constructor(fault: WebhookFault, message: string) {
    super(message);
    this.fault = fault;
  }
}

const TOLERANCE_SECONDS = 300;

/** Resolves when the request is signed with one of the secrets, and not too old; rejects with WebhookVerificationError. */
export async function verifyWebhook(options: VerifyWebhookOptions): Promise<VerifiedWebhook> {
  const { secrets, headers, body, toleranceSeconds = TOLERANCE_SECONDS, now = new Date() } = options;
  const keys = [secrets].flat().flatMap((secret) => {
    const ofSecret = signingKeys(secret);
    if (ofSecret === undefined) throw new WebhookVerificationError('secret', 'a secret is empty, or no base64');
    return ofSecret;
  });
  if (keys.length === 0) throw new WebhookVerificationError('secret', 'no secret was given');
  const id = headerOf(headers, WEBHOOK_HEADERS.id);
  const seconds = headerOf(headers, WEBHOOK_HEADERS.timestamp);
  const signatures = signaturesIn(headerOf(headers, WEBHOOK_HEADERS.signature));

  const timestamp = new Date(/^\d{1,12}$/.test(seconds) ? Number(seconds) * 1000 : Number.NaN);
  const distance = Math.abs(now.getTime() - timestamp.getTime());
  if (!(distance <= toleranceSeconds * 1000)) {
    throw new WebhookVerificationError('timestamp', `${WEBHOOK_HEADERS.timestamp} is too far from now, or no number`);
  }

  const content = signedContent(id, seconds, body);
  const answers = await Promise.all(
    keys.flatMap((key) => signatures.map((signature) => isSignedBy(key, signature, content))),
  );
  if (!answers.includes(true)) {
    throw new WebhookVerificationError('signature', `${WEBHOOK_HEADERS.signature} fits none of the secrets`);
  }
  return { id, timestamp };
}

function headerOf(headers: RequestHeaders, name: string): string {
  const value = isHeaders(headers) ? headers.get(name) : valueIn(headers, name);
  if (typeof value !== 'string' || value === '') {
    throw new WebhookVerificationError('header', `the request has no header ${name}, or several`);
  }
  return value;
}

function isHeaders(headers: RequestHeaders): headers is { get(name: string): string | null } {
  return typeof headers['get'] === 'function';
}

/** Node has names in lower case; other programs keep what was sent. */
function valueIn(headers: Readonly<Record<string, unknown>>, name: string): unknown {
  if (Object.hasOwn(headers, name)) return headers[name];
  return Object.entries(headers).find(([each]) => each.toLowerCase() === name)?.[1];
}
