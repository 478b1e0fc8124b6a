/** The database `app` of a scene, on a server that the scenes share one after the other, with the names that an operator has. */
import type pg from 'pg';
import type { EmbeddedPostgres } from '../../src/demo/postgres/embedded-postgres.ts';
import { migrate } from '../../src/postgres/schema/migrate.ts';
import { newClient } from '../support/client.ts';

const NAME = 'app';
/** The login of `walpost run`: a member of walpost_relay that may replicate. */
const LOGIN = 'walpost';

export class AppDatabase implements AsyncDisposable {
  readonly server: EmbeddedPostgres;
  /** Of the owner of the schema. */
  readonly ownerUrl: string;
  /** Of the relay. */
  readonly relayUrl: string;
  private readonly clients: pg.Client[] = [];
  private owner: pg.Client | undefined;

  private constructor(server: EmbeddedPostgres) {
    this.server = server;
    this.ownerUrl = server.url(NAME);
    const url = new URL(this.ownerUrl);
    [url.username, url.password] = [LOGIN, 'of-the-relay'];
    this.relayUrl = url.href;
  }

  static async create(server: EmbeddedPostgres, migrated: boolean): Promise<AppDatabase> {
    const database = new AppDatabase(server);
    await onServer(server, async (admin) => {
      await admin.query(`CREATE DATABASE ${NAME}`);
      await admin.query(`CREATE ROLE ${LOGIN} LOGIN REPLICATION PASSWORD 'of-the-relay'`);
    });
    if (migrated) {
      await migrate(database.ownerUrl);
      await database.query(`GRANT walpost_relay TO ${LOGIN}`);
    }
    return database;
  }

  async query<R extends pg.QueryResultRow = pg.QueryResultRow>(text: string, values?: unknown[]): Promise<R[]> {
    this.owner ??= await this.client('psql');
    return (await this.owner.query<R>(text, values)).rows;
  }

  /** A further session, of an application. */
  async client(application: string, url = this.ownerUrl): Promise<pg.Client> {
    const client = newClient({ connectionString: url, application_name: application });
    await client.connect();
    this.clients.push(client);
    return client;
  }

  /** A setting of the whole server, until the scene is over. */
  async setting(name: string, value: string): Promise<void> {
    await this.query(`ALTER SYSTEM SET ${name} = '${value}'`);
    await this.query('SELECT pg_reload_conf()');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.clients.map((client) => client.end().catch(() => undefined)));
    await onServer(this.server, async (admin) => {
      await admin.query('SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = $1', [NAME]);
      await admin.query('SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots');
      await admin.query(`DROP DATABASE ${NAME} WITH (FORCE)`);
      await admin.query(`DROP ROLE ${LOGIN}`);
      await admin.query('ALTER SYSTEM RESET ALL');
      await admin.query('SELECT pg_reload_conf()');
    });
  }
}

async function onServer(server: EmbeddedPostgres, use: (admin: pg.Client) => Promise<void>): Promise<void> {
  const admin = newClient(server.url());
  await admin.connect();
  try {
    await use(admin);
  } finally {
    await admin.end();
  }
}
