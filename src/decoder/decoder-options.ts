import type { BeginTransaction } from '../event.ts';
import type { ColumnMapping, PayloadForm } from '../postgres/source/column-mapping.ts';
import type { MessageOptions } from './signed-messages.ts';

/** A change that is no insert of the source table. */
export type IgnoredKind = 'insert' | 'update' | 'delete' | 'truncate';

export interface DecoderHooks {
  /** Called for each Begin that is well formed: opens the ticket of its transaction. */
  readonly beginTransaction: BeginTransaction;
  /**
   * Called for each change that makes no event: an update, delete or truncate, or an insert of another table. The
   * publication should hold the inserts of the source table and nothing else, so a person should hear of it.
   */
  readonly onIgnored?: (kind: IgnoredKind, table: string) => void;
  /** The number of the source table: pgoutput names a row after what its table was called when it was written. */
  readonly tableId?: number;
  /** Signed logical messages are events too. */
  readonly messages?: MessageOptions;
}

export interface DecoderOptions extends DecoderHooks {
  readonly mapping: ColumnMapping;
  readonly payload?: PayloadForm;
  /** As `schema.table`. */
  readonly table: string;
  /** Bytes of all values of a row together, as Postgres prints them. A longer row is a poison, and no text is made of it. */
  readonly maxRowBytes?: number;
}

export const DEFAULT_MAX_ROW_BYTES = 16 * 1024 * 1024;

/** Why a row is no event. */
export const rowTooLong = (bytes: number, most: number): string => `the row has ${bytes} bytes, more than ${most}`;
