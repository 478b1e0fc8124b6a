import { didYouMean } from '../../config/did-you-mean.ts';
import { WalpostError } from '../../errors.ts';
import { splitQualified } from '../identifiers.ts';
import { OWN_TABLE } from '../own-table.ts';
import { ask, type Queryable } from '../queryable.ts';

/** Tables of the application, those of the same name first. */
const OTHERS = `
  SELECT format('%I.%I', n.nspname, c.relname) AS name, lower(c.relname) = lower($1) AS same
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
   WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND n.nspname NOT IN ('walpost', 'walpost_internal', 'information_schema')
     AND n.nspname NOT LIKE 'pg\\_%'
   ORDER BY same DESC, n.nspname, c.relname LIMIT 500`;

/** The error for a table that is not there, with the one that may be meant. `where` names what the name was taken from. */
export async function missingTable(db: Queryable, table: string, where: string): Promise<WalpostError> {
  const detail = `There is no table ${table}.`;
  if (table === OWN_TABLE) {
    return new WalpostError('SOURCE_TABLE', {
      detail,
      remedy: `Run \`walpost migrate\`, which makes it or says why not.`,
    });
  }
  const parts = splitQualified(table);
  const others = await ask<{ name: string; same: boolean }>(db, OTHERS, [parts.at(-1) ?? '']);
  const same = others.filter((each) => each.same).map(({ name }) => name);
  const alike = didYouMean(
    table,
    others.map(({ name }) => name),
  );
  const meant = same.length > 0 ? same.slice(0, 3).join(' or ') : /did you mean (.*)\?$/.exec(alike)?.[1];
  const form = parts.length === 2 ? '' : ', which is written schema.table';
  const remedy =
    meant === undefined ? `Create it, or correct ${where}${form}.` : `Set ${where} to ${meant}, or create the table.`;
  return new WalpostError('SOURCE_TABLE', { detail, remedy });
}
