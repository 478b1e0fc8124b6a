/**
 * Text that others wrote, on its way to a terminal.
 *
 * Control characters move the cursor, set the title or paint over what was said before; directional ones show text in
 * another order than it has; invisible ones hide it. All are written out instead: `\x1b`, `\u202e`, `\n`.
 */
const UNSAFE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;
const SHORT: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' };

/** One line, with nothing in it that a terminal would act on. */
export function printable(text: string): string {
  return text.replace(UNSAFE, (char) => SHORT[char] ?? escaped(char));
}

/** The same for each line of several. */
export function printableLines(text: string): string {
  return text.split('\n').map(printable).join('\n');
}

/** Every text inside a value, names of fields too. */
export function printableValue<T>(value: T): T {
  return walk(value) as T;
}

/** JSON that means the same, and that a terminal only shows. */
export function printableJson(value: unknown, indent = 0): string {
  return printableJsonText(JSON.stringify(value, null, indent));
}

/** What is left unescaped by JSON stands in texts only, where it may be escaped. */
export function printableJsonText(json: string): string {
  return json.replace(UNSAFE, (char) => (char === '\n' ? char : utf16(char)));
}

function walk(value: unknown): unknown {
  if (typeof value === 'string') return printable(value);
  if (Array.isArray(value)) return value.map(walk);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [printable(name), walk(inner)]));
}

function escaped(char: string): string {
  const code = char.codePointAt(0) ?? 0;
  return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : utf16(char);
}

function utf16(char: string): string {
  return [...Array(char.length).keys()].map((at) => `\\u${char.charCodeAt(at).toString(16).padStart(4, '0')}`).join('');
}
