import type { Event, Origin, Poison } from '../event.ts';
import { textToWire, wireString } from '../wire-text.ts';
import type { ColumnMapping, PayloadForm } from '../postgres/source/column-mapping.ts';
import { columnTypeOfOid, type Column } from './column-type.ts';
import { DEFAULT_MAX_ROW_BYTES, rowTooLong } from './decoder-options.ts';
import { RowReader } from './row-reader.ts';
import { NULL, Row } from './row.ts';

const NOT_ASCII = /[^\x00-\x7f]/;

/** A column of a query's result, with the identifier of its type. */
export interface ResultColumn {
  readonly name: string;
  readonly type: number;
}

/**
 * Makes events of rows that a query read from the source table, by the same rules as those of the stream. A result names
 * the base type of a domain, so the types that are left over are the user's own, such as enums. `bytes`: of a row of which
 * only the beginnings of the values were read.
 */
export function tableRowReader(
  result: readonly ResultColumn[],
  mapping: ColumnMapping,
  payload: PayloadForm = 'typed',
): (values: readonly (string | null)[], origin: Origin, bytes?: number) => Event | Poison {
  const columns = result.map(({ name, type }): Column => {
    const known = columnTypeOfOid(type);
    return { name, type: known === 'opaque' ? 'text' : known };
  });
  const reader = new RowReader(columns, mapping, { payload });
  const row = new Row(columns.length);
  return (values, origin, given) => {
    fill(row, values);
    const bytes = given ?? row.size;
    if (bytes <= DEFAULT_MAX_ROW_BYTES) return reader.read(row, origin, null);
    return reader.poison(row, rowTooLong(bytes, DEFAULT_MAX_ROW_BYTES), { origin, ordinal: null });
  };
}

function fill(row: Row, values: readonly (string | null)[]): void {
  let text = '';
  values.forEach((value, index) => {
    row.starts[index] = value === null ? NULL : text.length;
    if (value !== null) text += wireString(textToWire(value));
    row.ends[index] = text.length;
  });
  row.text = text;
  row.size = text.length;
  row.ascii = !NOT_ASCII.test(text);
}
