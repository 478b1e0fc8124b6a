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

const CREDENTIALS = /([a-z][a-z0-9+.-]*:\/\/)[^\s/@]*@/gi;
const PASSWORD = /\b(password|token|secret|key|apikey)=[^\s&]+/gi;

/** Takes user names, passwords and tokens out of text that others wrote, such as a driver's message. */
export function scrub(text: string): string {
  return text.replace(CREDENTIALS, `$1${CENSOR}@`).replace(PASSWORD, `$1=${CENSOR}`);
}
