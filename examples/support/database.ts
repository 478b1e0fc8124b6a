/**
 * A Postgres for one run of an example, with the roles that an installation has. It is the embedded one of `walpost demo`, and
 * its files go when it is closed. With a server of your own, roles.sql and `walpost migrate` do the same.
 */
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { startEmbeddedPostgres } from '../../src/demo/postgres/embedded-postgres.ts';
import { walpost } from './walpost.ts';

/** Who logs in to the database `app`, each with a role of its own. */
export interface Logins {
  /** Owns the database and its tables: migrations, and nothing else. */
  readonly OWNER_URL: string;
  /** The application. It owns nothing, so row-level security holds for it. */
  readonly APP_URL: string;
  /** `walpost run`. */
  readonly DATABASE_URL: string;
  /** People. */
  readonly OPERATOR_URL: string;
}

export interface Database extends AsyncDisposable {
  readonly logins: Logins;
  /** Kills the server's processes and starts it again: it recovers from its log. */
  crash(): Promise<void>;
}

/**
 * Starts the server, makes the roles, runs `walpost migrate` and then the schema.sql of the example.
 *
 * @param env what walpost.yaml of the folder takes from the environment beside the logins
 */
export async function startDatabase(folder: string, env: Readonly<Record<string, string>>): Promise<Database> {
  const server = await startEmbeddedPostgres();
  try {
    const password = randomBytes(12).toString('hex');
    await runSql(server.url(), (await sqlFile(import.meta.dirname, 'roles.sql')).replaceAll(':password', password));
    await runSql(server.url(), 'CREATE DATABASE app OWNER app_owner');
    const login = (role: string): string => `postgres://${role}:${password}@127.0.0.1:${server.port}/app`;
    const logins = {
      OWNER_URL: login('app_owner'),
      APP_URL: login('app_user'),
      DATABASE_URL: login('app_relay'),
      OPERATOR_URL: login('app_operator'),
    };
    await walpost(['migrate'], { cwd: folder, env: { ...env, DATABASE_URL: logins.OWNER_URL } });
    await runSql(logins.OWNER_URL, await sqlFile(import.meta.dirname, 'memberships.sql'));
    await runSql(logins.OWNER_URL, await sqlFile(folder, 'schema.sql'));
    return {
      logins,
      crash: () => server.restart('immediate'),
      [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
    };
  } catch (error) {
    await server[Symbol.asyncDispose]();
    throw error;
  }
}

const sqlFile = (folder: string, name: string): Promise<string> => readFile(join(folder, name), 'utf8');

async function runSql(url: string, sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}
