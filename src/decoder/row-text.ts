import { decodeLatin1 } from '../wire-text.ts';
import type { Column } from './column-type.ts';
import { type Row, UNSENT } from './row.ts';

/** Bytes of the values that a poison row keeps, all together; enough to see what it was. */
const ROW_LIMIT = 32 * 1024;

/** The row as `{"column": "text or null"}`; values past the limit are cut and end in `…`, unsent ones are left out. */
export function rowText(columns: readonly Column[], row: Row): string {
  const parts: string[] = [];
  let left = ROW_LIMIT;
  columns.forEach((column, index) => {
    if (row.starts[index] === UNSENT) return;
    const value = row.latin1(index);
    parts.push(`${JSON.stringify(column.name)}:${value === null ? 'null' : JSON.stringify(cut(value, left))}`);
    left -= Math.min(left, value?.length ?? 0);
  });
  return `{${parts.join(',')}}`;
}

/** A copy, so that what is kept for long does not keep the whole row; never half a character. */
export function cut(latin1: string, limit: number): string {
  if (latin1.length <= limit) return Buffer.from(latin1, 'latin1').toString('utf8');
  let end = limit;
  while (end > 0 && (latin1.charCodeAt(end) & 0xc0) === 0x80) end--;
  return `${decodeLatin1(latin1.slice(0, end))}…`;
}

/** A json column may hold line breaks, but only between tokens, where a space means the same: an envelope is one line. */
export function onOneLine(json: string): string {
  return json.includes('\n') || json.includes('\r') ? json.replace(/[\r\n]/g, ' ') : json;
}
