/** Options of the output plugins for START_REPLICATION; the one who sends them quotes each value as a literal. */
import { quoteIdentifier } from '../postgres/identifiers.ts';
import { parseSourceTable, type SourceTable } from '../postgres/source/source-table.ts';
import { CHANGES_TABLE } from './endpoint-changes.ts';

export type PluginOptions = Readonly<Record<string, string>>;

export interface PgoutputSource {
  readonly publication: string;
  /** Logical messages too, of every prefix. */
  readonly messages?: boolean;
}

/** pgoutput reads the publications as a list of SQL identifiers. */
export function pgoutputOptions({ publication, messages }: PgoutputSource): PluginOptions {
  return {
    proto_version: '1',
    publication_names: quoteIdentifier(publication),
    messages: String(messages ?? false),
  };
}

/** Logical messages cannot be switched off in wal2json; this prefix keeps those of others away. */
const MESSAGE_PREFIX = 'walpost';

/**
 * Types go by number: wal2json 2.5 prints the name of a type in a schema that needs quotes as broken JSON.
 * https://github.com/eulerto/wal2json#parameters
 */
export function wal2jsonOptions({ table }: { readonly table: string }): PluginOptions {
  return {
    'format-version': '2',
    'include-xids': 'true',
    'include-timestamp': 'true',
    'include-lsn': 'true',
    'include-types': 'false',
    'include-type-oids': 'true',
    'add-tables': [table, CHANGES_TABLE].map((each) => addTables(parseSourceTable(each))).join(','),
    'add-msg-prefixes': MESSAGE_PREFIX,
    actions: 'insert',
  };
}

/** In wal2json's list a backslash takes the meaning from the character that follows it. */
function addTables({ schema, name }: SourceTable): string {
  const escape = (part: string): string => part.replace(/[\\\s'",.*]/g, '\\$&');
  return `${escape(schema)}.${escape(name)}`;
}
