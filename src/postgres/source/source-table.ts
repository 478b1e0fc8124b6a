import { WalpostError } from '../../errors.ts';
import { splitQualified } from '../identifiers.ts';

export interface SourceTable {
  readonly schema: string;
  readonly name: string;
}

/** Reads `schema.table` as the configuration has it. */
export function parseSourceTable(table: string): SourceTable {
  const [schema, name, ...more] = partsOf(table);
  if (schema === undefined || name === undefined || more.length > 0) {
    throw new WalpostError('CONFIG_INVALID', { detail: `source.table must be schema.table, not "${table}".` });
  }
  return { schema, name };
}

/** Whether the text names a table with its schema. */
export function isSourceTable(table: string): boolean {
  return partsOf(table).length === 2;
}

function partsOf(table: string): string[] {
  try {
    return splitQualified(table);
  } catch {
    return [];
  }
}
