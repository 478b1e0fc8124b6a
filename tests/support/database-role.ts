import { randomBytes } from 'node:crypto';
import type pg from 'pg';
import type { TestDatabase } from './database.ts';
import { newClient } from './client.ts';

/** A login of a test's own: roles belong to the whole server, so it has a name of its own and goes away again. */
export interface DatabaseRole extends AsyncDisposable {
  readonly name: string;
  readonly url: string;
  client(): Promise<pg.Client>;
}

export interface DatabaseRoleOptions {
  /** Groups that it is a member of. */
  readonly in?: readonly string[];
  /** Such as REPLICATION. */
  readonly attributes?: string;
}

export async function createRole(database: TestDatabase, options: DatabaseRoleOptions = {}): Promise<DatabaseRole> {
  const name = `r_${randomBytes(6).toString('hex')}`;
  await database.query(`CREATE ROLE ${name} LOGIN PASSWORD 'role' ${options.attributes ?? ''}`);
  for (const group of options.in ?? []) await database.query(`GRANT ${group} TO ${name}`);
  const url = new URL(database.url);
  [url.username, url.password] = [name, 'role'];
  const clients: pg.Client[] = [];
  return {
    name,
    url: url.href,
    async client() {
      const client = newClient({ connectionString: url.href, application_name: 'walpost test role' });
      await client.connect();
      clients.push(client);
      return client;
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(clients.map((client) => client.end().catch(() => undefined)));
      await database.query(`REASSIGN OWNED BY ${name} TO CURRENT_USER; DROP OWNED BY ${name}; DROP ROLE ${name}`);
    },
  };
}
