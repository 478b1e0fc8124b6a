import type { Config } from '../config/schema.ts';
import { columnMapping, payloadForm } from '../postgres/source/column-mapping.ts';
import { DEFAULT_MAX_ROW_BYTES } from '../decoder/decoder-options.ts';
import { tableRowReader } from '../decoder/table-row.ts';
import type { OutboxTable } from '../jobs/outbox-range.ts';

/** The source table as jobs read it: its rows become events by the rules of the stream. */
export function outboxTable(source: Config['source']): OutboxTable {
  const mapping = columnMapping(source);
  return {
    table: source.table,
    mapping,
    filteredBy: source.row_filter === 'expected' ? source.publication : null,
    readerFor: (columns) => tableRowReader(columns, mapping, payloadForm(source)),
    maxRowBytes: DEFAULT_MAX_ROW_BYTES,
  };
}
