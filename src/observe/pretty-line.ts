import pc from 'picocolors';
import { printable, printableJson, printableLines } from './printable.ts';
import { wrapLine } from './wrap-text.ts';

/** Below this nothing can be laid out. */
const NARROWEST = 40;
/** What a line becomes that is wider than the terminal is told from the next one. */
const GOES_ON = 4;

/** `14:02:11.123 info  slot opened  slot=walpost_app lag=12` from one JSON line of the log, broken at blanks for `columns`. */
export function prettyLine(json: string, color: boolean, columns?: number): string {
  const paint = pc.createColors(color);
  const { level, time, msg, err, ...fields } = JSON.parse(json) as Record<string, unknown>;
  const tint = { warn: paint.yellow, error: paint.red, fatal: paint.red, debug: paint.dim }[String(level)];
  const name = String(level).padEnd(5);
  const parts = [
    paint.dim(String(time).slice(11, 23)),
    tint ? tint(name) : name,
    printable(typeof msg === 'string' ? msg : ''),
  ];
  const pairs = Object.entries(fields).map(([key, value]) => `${paint.dim(`${printable(key)}=`)}${fieldText(value)}`);
  if (pairs.length > 0) parts.push(` ${pairs.join(' ')}`);
  const text = `${parts.join(' ')}${errorText(err)}`;
  if (columns === undefined) return `${text}\n`;
  const fits = (line: string): string => wrapLine(line, Math.max(NARROWEST, columns), GOES_ON);
  return `${text.split('\n').map(fits).join('\n')}\n`;
}

function fieldText(value: unknown): string {
  if (typeof value === 'string') return /^[\w./:@+-]+$/.test(value) ? value : printableJson(value);
  return printableJson(value);
}

function errorText(err: unknown): string {
  if (typeof err !== 'object' || err === null) return '';
  const { code, message, cause, stack } = err as Record<string, unknown>;
  const head = typeof code === 'string' ? `${code}: ${String(message)}` : String(message);
  const trace = typeof stack === 'string' ? `\n${printableLines(stack).replace(/^/gm, '    ')}` : '';
  return `\n    ${printable(head)}${trace}${errorText(cause)}`;
}
