import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** One numbered file of sql/tables/, such as 002_outbox.sql. It never changes after its release. */
export interface Migration {
  readonly number: number;
  readonly name: string;
  /** In ASCII, which every encoding of a database has. */
  readonly sql: string;
  /** SHA-256 of the text, whatever its line ends. */
  readonly checksum: string;
  /** Declares `-- walpost:breaking` before its first statement: older programs must not work with the result. */
  readonly breaking: boolean;
}

const FILE_NAME = /^(\d{3})_([a-z0-9_]+)\.sql$/;
const HEAD = /^(?:\s*(?:--[^\n]*)?\n)*/;
const BREAKING = /^\s*--\s*walpost:breaking\s*$/m;

/** sql/ at the root of the package, seen from this file and from its copy in dist/. */
export function sqlDirectory(): string {
  const candidates = ['../../../sql/', '../../../../sql/'].map((path) => fileURLToPath(new URL(path, import.meta.url)));
  const found = candidates.find((path) => existsSync(path));
  if (found === undefined) throw new Error(`The SQL files of walpost are missing: ${candidates.join(', ')}`);
  return found;
}

/** The migrations of this program, in order. */
export async function readMigrations(directory = join(sqlDirectory(), 'tables')): Promise<Migration[]> {
  const names = (await readdir(directory)).filter((name) => name.endsWith('.sql')).toSorted();
  const migrations = await Promise.all(names.map((name) => readMigration(directory, name)));
  const repeated = migrations.find((migration, index) => migrations[index + 1]?.number === migration.number);
  if (repeated) throw new Error(`Two files of ${directory} have the number of ${repeated.name}`);
  return migrations;
}

async function readMigration(directory: string, file: string): Promise<Migration> {
  const number = FILE_NAME.exec(file)?.[1];
  if (number === undefined) throw new Error(`${join(directory, file)} is not named like 002_outbox.sql`);
  const { sql, checksum } = await readSql(join(directory, file));
  return {
    number: Number(number),
    name: file,
    sql,
    checksum,
    breaking: BREAKING.test(HEAD.exec(sql)?.[0] ?? ''),
  };
}

/** The text of a file in ASCII, and its checksum, whatever its line ends. */
export async function readSql(path: string): Promise<{ readonly sql: string; readonly checksum: string }> {
  const text = (await readFile(path, 'utf8')).replaceAll('\r\n', '\n');
  return {
    sql: text.replaceAll('…', '...'), // a hint or a comment may contain it, and a database in LATIN1 cannot
    checksum: createHash('sha256').update(text).digest('hex'),
  };
}
