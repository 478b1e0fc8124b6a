/**
 * What `walpost migrate` applies to an empty database, as one SQL script, for people with a migration tool of their own. Each
 * numbered file is a transaction; functions, views, triggers and the role model are one. The bookkeeping is part of it, so
 * that afterwards `walpost migrate` finds nothing to do.
 */
import { VERSION } from '../../version.ts';
import { RECORD_INSTALLATION } from './installation.ts';
import { BOOTSTRAP } from './migrate.ts';
import { type Migration, readMigrations } from './migration-files.ts';
import { rolePrefixSql } from './role-prefix.ts';
import { readRepeatables, recordSql } from './repeatable.ts';

export async function schemaScript(rolePrefix = ''): Promise<string> {
  const [migrations, repeatables] = await Promise.all([readMigrations(), readRepeatables()]);
  return [
    `-- The schema of walpost ${VERSION}, for an empty database. Run it as the role that shall own the schema.`,
    '-- In a later release only the transactions of new numbered files are new; the last transaction replaces itself.',
    inTransaction('the schemas and their bookkeeping', BOOTSTRAP),
    ...migrations.map((file) => inTransaction(`tables/${file.name}`, `${file.sql}\n${recorded(file)}`)),
    inTransaction(
      'functions, views, triggers and the role model',
      [
        ...(rolePrefix === '' ? [] : [`${rolePrefixSql(rolePrefix)};`]),
        ...repeatables.map(({ name, sql }) => `-- ${name}\n\n${sql}`),
        recordSql(repeatables),
        'SELECT walpost_internal.mend_deviations();',
        `${RECORD_INSTALLATION.replace('$1', "'migrate'")} ON CONFLICT DO NOTHING;`,
      ].join('\n'),
    ),
  ].join('\n\n');
}

function recorded({ number, name, checksum, breaking }: Migration): string {
  return `INSERT INTO walpost.migrations (number, name, checksum, breaking) VALUES (${number}, '${name}', '${checksum}', ${breaking});`;
}

function inTransaction(title: string, sql: string): string {
  return `-- walpost: ${title}\n\nBEGIN;\n\n${sql.trim()}\n\nCOMMIT;\n`;
}
