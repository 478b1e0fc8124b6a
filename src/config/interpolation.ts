/**
 * `${NAME}`, `${NAME:-default}` and `${file:/path}` in walpost.yaml; `$${` stands for `${` itself.
 *
 * Braces mean maps in YAML, so `{ url: ${DATABASE_URL} }` would not even parse. Filling values into the text first would
 * let a value change the structure of the file and move every position behind it. So each expression is veiled first,
 * character by character, into the private use area: the text keeps its length, YAML sees a plain word, and the scalars
 * are unveiled and filled in after the parse.
 */
import { isAbsentFile, secretFromFile } from './secret-file.ts';

const EXPRESSION = /\$?\$\{[^}\n]*\}/g;
const VEIL = 0xe000;
const VEILED = /[\ue001-\ue07f]/g;
const ASCII = /[\x01-\x7f]/g;
const REFERENCE = /\$(\$\{)|\$\{([^}]*)\}|\$\{/g;
const INSIDE = /^([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?$/s;
const FILE = /^file:(.*)$/s;

const NEEDS_VARIABLE = 'needs the environment variable';

/** The value is only not there: another environment may have it. Takes the message of a problem. */
export function isOnlyAbsent(message: string): boolean {
  return message.startsWith(NEEDS_VARIABLE) || isAbsentFile(message);
}

export type Environment = Readonly<Record<string, string | undefined>>;

export function veil(text: string): string {
  return text.replace(EXPRESSION, (found) => found.replace(ASCII, (char) => shift(char, VEIL)));
}

export function unveil(text: string): string {
  return text.replace(VEILED, (char) => shift(char, -VEIL));
}

function shift(char: string, by: number): string {
  return String.fromCharCode(char.charCodeAt(0) + by);
}

export interface Expansion {
  readonly text: string;
  /** The variables that were asked for, whether they are set or not; a file as `file:/path`. */
  readonly variables: readonly string[];
  /** What is wrong, in words that hold no value; null when nothing is. */
  readonly fault: string | null;
}

/** Fills in what the environment knows; undefined when the text holds no expression. */
export function expand(text: string, env: Environment): Expansion | undefined {
  if (!text.includes('${')) return undefined;
  const variables: string[] = [];
  let fault: string | null = null;
  const filled = text.replace(REFERENCE, (_, escaped: string | undefined, inside: string | undefined) => {
    if (escaped !== undefined) return escaped;
    const file = FILE.exec(inside ?? '')?.[1];
    if (file !== undefined) {
      variables.push(`file:${file}`);
      const secret = secretFromFile(file);
      if ('fault' in secret) fault ??= secret.fault;
      return 'text' in secret ? secret.text : '';
    }
    const match = INSIDE.exec(inside ?? '');
    const name = match?.[1];
    if (name === undefined) {
      fault ??=
        'has a ${ that is not ${NAME}, ${NAME:-default} or ${file:/path} (write $${ for the characters themselves)';
      return '';
    }
    variables.push(name);
    const value = env[name];
    if (match?.[2] !== undefined) return value || match[2];
    if (value === undefined) fault ??= `${NEEDS_VARIABLE} ${name}, which is not set`;
    return value ?? '';
  });
  return { text: filled, variables, fault };
}
