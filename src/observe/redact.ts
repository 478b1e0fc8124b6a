/** Fields that hold a secret or what an application sent, wherever a log call puts them. */
const HIDDEN = [
  'url',
  'key',
  'token',
  'secret',
  'password',
  'connectionString',
  'authorization',
  'cookie',
  'headers',
  'payload',
  'row',
  'text',
  'body',
  'events',
];

/** As pino takes them: at the top, and one and two levels down. */
export const REDACTED_PATHS = ['', '*.', '*.*.'].flatMap((prefix) => HIDDEN.map((name) => prefix + name));

export const CENSOR = '(not shown)';

/** A word that begins like a URL, as a whole: what follows the scheme is looked at once, so long texts take no longer than their length. */
const URL_WORD = /([a-z][a-z0-9+.-]{0,31}:\/\/)([^\s"]*)/gi;
const PASSWORD = /\b(password|passwd|token|secret|key|apikey)\s{0,8}=\s{0,8}(?:'(?:[^'\\]|\\.)*'|[^\s&]+)/gi;

/** Takes user names, passwords and tokens out of text that others wrote, such as a driver's message. */
export function scrub(text: string): string {
  return text.replace(URL_WORD, withoutUser).replace(PASSWORD, `$1=${CENSOR}`);
}

/** Up to the last @ of the word: a password that is not encoded may hold any of the marks that end it. */
function withoutUser(word: string, scheme: string, rest: string): string {
  const at = rest.lastIndexOf('@');
  return at < 0 ? word : `${scheme}${CENSOR}${rest.slice(at)}`;
}
