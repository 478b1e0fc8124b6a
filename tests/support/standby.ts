import { execFile } from 'node:child_process';
import { appendFile, chown, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type pg from 'pg';
import type { EmbeddedPostgres } from '../../src/demo/postgres/embedded-postgres.ts';
import { startServer } from './server.ts';
import { newClient } from './client.ts';

/** The physical slot of the standby on its primary. */
const SLOT = 'standby';

/**
 * A physical standby, made of the files of its primary, which is stopped meanwhile: nothing may be connected yet. It reads
 * by way of `port`. As with pg_basebackup the primary's slots do not come along.
 */
export async function startStandby(primary: EmbeddedPostgres, port: number): Promise<EmbeddedPostgres> {
  const standby = await startServer();
  try {
    await standby.stop();
    await primary.stop();
    await rm(standby.dataDirectory, { recursive: true });
    await promisify(execFile)('cp', ['-a', primary.dataDirectory, standby.dataDirectory]);
    await primary.start();
    await onServer(primary, (client) => client.query('SELECT pg_create_physical_replication_slot($1, true)', [SLOT]));
    const slots = join(standby.dataDirectory, 'pg_replslot');
    for (const name of await readdir(slots)) await rm(join(slots, name), { recursive: true });
    const { username, password } = new URL(primary.url());
    const conninfo = `host=127.0.0.1 port=${port} user=${username} password=${decodeURIComponent(password)} dbname=postgres`;
    await appendFile(
      join(standby.dataDirectory, 'postgresql.conf'),
      `\nport = ${standby.port}\nprimary_conninfo = '${conninfo}'\nprimary_slot_name = '${SLOT}'\nhot_standby_feedback = on\n`,
    );
    const signal = join(standby.dataDirectory, 'standby.signal');
    await writeFile(signal, '');
    const { uid, gid } = await stat(standby.dataDirectory);
    await chown(signal, uid, gid);
    await standby.start();
    return standby;
  } catch (error) {
    await standby[Symbol.asyncDispose]();
    throw error;
  }
}

/** One session of the superuser, outside the databases of tests. */
export async function onServer<T>(server: EmbeddedPostgres, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = newClient({ connectionString: server.url() });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}
