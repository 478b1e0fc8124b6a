import { expect, inject, test } from 'vitest';
import { createTestDatabase } from './database.ts';
import { newClient } from './client.ts';

const databases = async (name: string): Promise<number | null> => {
  const client = newClient(inject('postgresUrl'));
  await client.connect();
  const { rowCount } = await client.query('SELECT FROM pg_database WHERE datname = $1', [name]);
  await client.end();
  return rowCount;
};

test('a database of its own, migrated, that is gone afterwards', async () => {
  const database = await createTestDatabase();
  await database.query(`SELECT walpost.publish(gen_random_uuid(), 'a', '{}')`);
  const client = await database.client();
  await client.query(`SELECT pg_create_logical_replication_slot($1, 'pgoutput')`, [database.slotName]);
  expect(await databases(database.name)).toBe(1);
  await database[Symbol.asyncDispose]();
  expect(await databases(database.name)).toBe(0);
});

test('a connection that was left open fails the test, and the database goes all the same', async () => {
  const database = await createTestDatabase({ migrated: false });
  const forgotten = newClient({ connectionString: database.url, application_name: 'forgotten' });
  await forgotten.connect();
  await expect(database[Symbol.asyncDispose]()).rejects.toThrow(/leaked .*forgotten/);
  expect(await databases(database.name)).toBe(0);
});

test('a slot that is still streamed from fails the test', async () => {
  const database = await createTestDatabase();
  await database.query(`SELECT pg_create_logical_replication_slot($1, 'pgoutput')`, [database.slotName]);
  const options = { connectionString: database.url, replication: 'database', application_name: 'streaming' };
  const client = newClient(options);
  const lost = new Promise((resolve) => client.on('error', resolve));
  await client.connect();
  const started = new Promise((resolve) => client.connection.once('replicationStart', resolve));
  const streaming = client.query(
    `START_REPLICATION SLOT ${database.slotName} LOGICAL 0/0 (proto_version '1', publication_names 'walpost')`,
  );
  streaming.catch(() => undefined);
  await started;
  await expect(database[Symbol.asyncDispose]()).rejects.toThrow(/leaked .*slot s_.* is active/);
  await lost;
  expect(await databases(database.name)).toBe(0);
});
