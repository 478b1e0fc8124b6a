/**
 * Signatures of Standard Webhooks: `v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`. WebCrypto is in Node, Deno,
 * Bun, browsers and edge functions.
 * https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
 */
const PREFIX = 'whsec_';
const VERSION = 'v1,';
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}(?:==)?|[A-Za-z0-9+/]{3}=?)?$/;

export type Bytes = Uint8Array<ArrayBuffer>;

/**
 * The keys of a secret as it stands in walpost.yaml: `whsec_` and base64, several of these separated by blanks, or any
 * other text as its UTF-8 bytes, without the white space around it. Undefined when what follows `whsec_` is not base64.
 */
export function signingKeys(secret: string): readonly Bytes[] | undefined {
  const meant = secret.trim();
  if (!meant.startsWith(PREFIX)) return meant === '' ? undefined : [bytesOf(meant)];
  const keys: Bytes[] = [];
  for (const part of meant.split(/\s+/)) {
    const key = part.startsWith(PREFIX) ? fromBase64(part.slice(PREFIX.length)) : undefined;
    if (key === undefined || key.length === 0) return undefined;
    keys.push(key);
  }
  return keys;
}

/** The signatures in the header that this version knows. */
export function signaturesIn(header: string): readonly Bytes[] {
  return header.split(' ').flatMap((part) => {
    const signature = part.startsWith(VERSION) ? fromBase64(part.slice(VERSION.length)) : undefined;
    return signature === undefined ? [] : [signature];
  });
}

/** What is signed. `timestamp` as it stands in the header. */
export function signedContent(id: string, timestamp: string, body: string | Uint8Array): Bytes {
  const head = bytesOf(`${id}.${timestamp}.`);
  const rest = typeof body === 'string' ? bytesOf(body) : body;
  const content = new Uint8Array(head.length + rest.length);
  content.set(head);
  content.set(rest, head.length);
  return content;
}

/** WebCrypto compares in constant time. */
export async function isSignedBy(key: Bytes, signature: Bytes, content: Bytes): Promise<boolean> {
  const hmac = await crypto.subtle.importKey('raw', key, { name: 'HMAC', hash: 'SHA-256' }, false, ['verify']);
  return crypto.subtle.verify('HMAC', hmac, signature, content);
}

function bytesOf(text: string): Bytes {
  return new TextEncoder().encode(text);
}

function fromBase64(text: string): Bytes | undefined {
  if (!BASE64.test(text)) return undefined;
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}
