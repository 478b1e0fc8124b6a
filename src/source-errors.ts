/** The part of the list in errors.ts that is about what is streamed: the table, its publication, and messages. */
import { entry, type ErrorEntry } from './error-entry.ts';

export const SOURCE_CODES = {
  SOURCE_TABLE: entry(
    'operator',
    'The source table, or a column that source.columns names, does not exist.',
    'Correct source.table and source.columns.',
  ),
  SOURCE_COLUMN: entry(
    'operator',
    'A column of the source table has a type that cannot carry its field.',
    'Name another column in source.columns, or change the type of this one.',
  ),
  PUBLICATION_MISSING: entry(
    'operator',
    'The publication is missing.',
    "CREATE PUBLICATION … FOR TABLE … WITH (publish = 'insert'); or run `walpost migrate`.",
  ),
  PUBLICATION_TABLE: entry(
    'operator',
    'The publication does not publish inserts of the source table.',
    "ALTER PUBLICATION … ADD TABLE …; ALTER PUBLICATION … SET (publish = 'insert');",
  ),
  SOURCE_UNLOGGED: entry(
    'operator',
    'Rows of the source table do not reach the WAL.',
    'ALTER TABLE … SET LOGGED; walpost then reads the rows that were written meanwhile from the table.',
  ),
  SOURCE_DIVERTED: entry(
    'operator',
    'Rows of the source table bypass the stream.',
    'Remove what the sentence above names; docs/stream.md has each case.',
  ),
  PLUGIN_PARTITIONS: entry(
    'operator',
    'wal2json names rows after their partition, so those of a partitioned table would not be delivered.',
    'Set source.plugin to pgoutput, and drop the slot: the next start creates it again and reads the missing rows from the table.',
  ),
  SOURCE_CHANGED: entry(
    'retry',
    'The source table or its publication was changed, and the stream may lack rows.',
    'None: walpost reads them from the table.',
  ),
  ROW_SECURITY: entry(
    'operator',
    'Row-level security hides outbox rows from the relay.',
    'Give the relay role a policy USING (true), or BYPASSRLS.',
  ),
  EMIT_KEYS: entry(
    'operator',
    'The keys of walpost.emit cannot be read.',
    'Grant walpost_relay to the role in database.url, or set source.messages to false.',
  ),
  MESSAGES_CHANGED: entry(
    'operator',
    'source.messages was changed while a transaction is delivered in part.',
    'Start walpost once with source.messages as it was, and change it when `walpost status` shows nothing open.',
  ),
  MESSAGE_REFUSED: entry(
    'operator',
    'A logical message with the prefix walpost is no event and was left out.',
    'See docs/operations.md: refused messages.',
  ),
  RESTORED_ROWS: entry(
    'operator',
    'Rows of the source table have transaction numbers of another cluster, so they come after newer rows and are never proven.',
    'See docs/operations.md: restored rows.',
  ),
} as const satisfies Record<string, ErrorEntry>;
