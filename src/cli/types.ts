/** `walpost types`: the registered event types as a file of TypeScript. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import type { Config } from '../config/schema.ts';
import { WalpostError } from '../errors.ts';
import { printableJsonText } from '../observe/printable.ts';
import { databaseError } from '../postgres/database-error.ts';
import { createPool, SILENCE_MS } from '../postgres/pool.ts';
import { assertMigrated } from '../postgres/schema/migrate.ts';
import type { ConfigFlags } from './config-options.ts';
import { type EventType, eventTypesText } from './event-types-text.ts';
import { EXIT } from './exit-code.ts';
import { say } from './output.ts';

export interface TypesFlags extends ConfigFlags {
  readonly out?: string;
  readonly check?: boolean;
}

const TYPES = `
  SELECT t.event_type AS type, t.event_version AS version, t.schema::text AS schema, t.description FROM walpost.event_types AS t
   ORDER BY t.event_type COLLATE "C", t.event_version`;

export async function writeTypes(config: Config, { out, check = false }: TypesFlags): Promise<void> {
  if (check && out === undefined)
    throw new WalpostError('USAGE', { detail: '--check goes with --out, which names the file.' });
  const types = await readTypes(config);
  // In a string it means the same, in a comment it can be read, and neither a terminal nor an editor acts on it.
  const text = printableJsonText(eventTypesText(types));
  if (out === undefined) return void process.stdout.write(text);
  const isSame = existsSync(out) && readFileSync(out, 'utf8') === text;
  if (isSame) return say(`${out} is up to date.`);
  if (check) {
    const what = existsSync(out) ? 'differs from walpost.event_types' : 'is missing';
    say(`${out} ${what}: run \`walpost types --out ${out}\`.`);
    process.exitCode = EXIT.problemsFound;
    return;
  }
  writeFileSync(out, text);
  say(`Wrote ${types.length} ${types.length === 1 ? 'version' : 'versions'} of event types to ${out}.`);
}

async function readTypes(config: Config): Promise<readonly EventType[]> {
  const pool = createPool(config.database.url, {
    applicationName: 'walpost types',
    max: 1,
    queryTimeoutMs: SILENCE_MS,
  });
  try {
    await assertMigrated(pool);
    const { rows } = await pool.query<Record<'type' | 'version' | 'schema', string> & Pick<EventType, 'description'>>(
      TYPES,
    );
    return rows.map((row) => ({ ...row, version: Number(row.version), schema: JSON.parse(row.schema) as unknown }));
  } catch (error) {
    throw databaseError(error);
  } finally {
    await pool.end();
  }
}
