/**
 * The secret that a receiver shares with walpost, as people write it: `whsec_` and base64, several of them separated by
 * blanks, or any other text, whose UTF-8 bytes are the key.
 *
 * Whoever gets this wrong signs with a key that no receiver has, and sees it only there. So what looks like a slip is
 * refused. Each key can also be written as `whsec_` and base64, so nothing is lost by that.
 */
const PREFIX = 'whsec_';
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}(?:==)?|[A-Za-z0-9+/]{3}=?)?$/;
/** Shorter keys can be guessed; Standard Webhooks wants 24 to 64 bytes. */
const SHORTEST_KEY = 16;

/** What is wrong, in words that hold nothing of the secret; undefined when it can be meant as it is. */
export function signingSecretProblem(secret: string): string | undefined {
  const parts = secret.trim().split(/\s+/);
  if (parts.some((part) => /^v1a?,/.test(part))) return 'begins with the version of a signature (v1,): leave that out';
  if (!parts.some((part) => part.startsWith(PREFIX))) return looksEncoded(secret.trim()) ? UNPREFIXED : undefined;
  if (!secret.trim().startsWith(PREFIX)) return MIXED;
  const keys = parts.map((part) => (part.startsWith(PREFIX) ? part.slice(PREFIX.length) : '?'));
  if (!keys.every((key) => BASE64.test(key))) return `has something else than base64 after whsec_; ${SEVERAL}`;
  const isShort = keys.some((key) => Buffer.from(key, 'base64').length < SHORTEST_KEY);
  return isShort ? `has a key of less than ${SHORTEST_KEY} bytes after whsec_` : undefined;
}

const SEVERAL = 'of several secrets each begins with whsec_, and a text is written as its base64';
const MIXED = `holds a whsec_ secret behind something else; ${SEVERAL}`;
const UNPREFIXED =
  'looks like base64 without its prefix: write whsec_ before it (if its own characters are the key, whsec_ and the base64 of them)';

/** The keys of a secret without a problem. */
export function signingKeys(secret: string): readonly Buffer[] {
  const meant = secret.trim();
  if (!meant.startsWith(PREFIX)) return [Buffer.from(meant, 'utf8')];
  return meant.split(/\s+/).map((part) => Buffer.from(part.slice(PREFIX.length), 'base64'));
}

/** Hex is left alone: it is often used as text. So is a text of one kind of letter. */
function looksEncoded(text: string): boolean {
  if (text.length < 24 || !BASE64.test(text)) return false;
  if (/[+/]|=$/.test(text)) return true;
  return text.length % 4 === 0 && /[A-Z]/.test(text) && /[a-z]/.test(text) && /\d/.test(text);
}
