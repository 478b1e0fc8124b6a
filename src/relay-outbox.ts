import type { Config } from './config/schema.ts';
import { columnMapping } from './decoder/column-mapping.ts';
import { tableRowReader } from './decoder/table-row.ts';
import type { OutboxTable } from './jobs/outbox-range.ts';

/** The source table as jobs read it: its rows become events by the rules of the stream. */
export function outboxTable(source: Config['source']): OutboxTable {
  const mapping = columnMapping(source);
  return { table: source.table, mapping, readerFor: (columns) => tableRowReader(columns, mapping) };
}
