/** Programs of Debian's Postgres 15 that the embedded servers lack, run against a server by its connection string. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';

const BIN = '/usr/lib/postgresql/15/bin';
const run = promisify(execFile);

/** A dump of one database, in the custom format, into a file. */
export async function dump(url: string, file: string): Promise<void> {
  await program('pg_dump', url, ['--format=custom', `--file=${file}`]);
}

/** Loads it; what is there already is replaced. */
export async function load(url: string, file: string): Promise<void> {
  await program('pg_restore', url, ['--clean', '--if-exists', '--exit-on-error', file]);
}

/** A copy of the whole cluster, made while it runs. */
export async function baseBackup(url: string, directory: string): Promise<void> {
  await program('pg_basebackup', url, [`--pgdata=${directory}`, '--checkpoint=fast', '--wal-method=stream']);
}

/** Where the programs are, for a PATH. */
export const DEBIAN_PROGRAMS = BIN;

async function program(name: string, url: string, options: readonly string[]): Promise<void> {
  const { password } = new URL(url);
  const env = { PATH: process.env['PATH'], LC_ALL: 'C', PGPASSWORD: decodeURIComponent(password) };
  await run(join(BIN, name), [`--dbname=${url}`, '--no-password', ...options], { env });
}
