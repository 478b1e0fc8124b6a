/** A right of the login that is taken away while the relay streams: nothing fails until the next start, so it has to be told. */
import { expect, test } from 'vitest';
import { configSchema } from '../../src/config/schema.ts';
import { askDatabase } from '../../src/relay/status/ask-database.ts';
import { createTestDatabase } from '../support/database.ts';
import { createRole } from '../support/database-role.ts';
import { RelayInProcess } from '../support/relay-in-process.ts';
import { poll } from '../support/slot-session.ts';

test('REPLICATION taken away is told within seconds by log, status and alerts, and is over when it is given back', async () => {
  await using database = await createTestDatabase();
  await using role = await createRole(database, { in: ['walpost_relay'], attributes: 'REPLICATION' });
  const sinks = { out: { type: 'discard' } };
  await using relay = await RelayInProcess.start({ database: { ...database, url: role.url }, sinks });
  const names = async () => (await relay.service.status()).alerts?.map(({ name }) => name);
  expect(await names()).not.toContain('no_replication_role');
  await database.query(`ALTER ROLE ${role.name} NOREPLICATION`);
  const alert = {
    name: 'no_replication_role',
    severity: 'critical',
    subject: database.slotName,
    message: expect.stringContaining(`It is "${role.name}"`) as string,
    remedy: expect.stringMatching(`^ALTER ROLE "${role.name}" REPLICATION;`) as string,
  };
  const told = async () => ((await names())?.includes('no_replication_role') ? true : undefined);
  await poll('it is told', told, 20_000);
  expect((await relay.service.status()).alerts).toContainEqual(alert);
  const lines = () => relay.lines.filter((line) => line.includes('NO_REPLICATION_ROLE'));
  expect(JSON.parse(lines()[0] ?? '{}')).toMatchObject({
    level: 'error',
    code: 'NO_REPLICATION_ROLE',
    remedy: alert.remedy,
  });
  await database.query(`ALTER ROLE ${role.name} REPLICATION`);
  await poll('it is over', async () => ((await told()) ? undefined : true), 20_000);
  expect(lines().map((line) => (JSON.parse(line) as { level: string }).level)).toEqual(['error', 'info']);
}, 60_000);

test('a person who may not replicate is told nothing of a healthy relay, and what the leader says of its login stays', async () => {
  await using database = await createTestDatabase();
  await using role = await createRole(database, { in: ['walpost_relay'], attributes: 'REPLICATION' });
  await using person = await createRole(database, { in: ['walpost_operator'] });
  const sinks = { out: { type: 'discard' } };
  await using relay = await RelayInProcess.start({ database: { ...database, url: role.url }, sinks });
  const config = configSchema.parse({
    database: { url: person.url },
    source: { slot: database.slotName },
    sinks,
    routes: [{ to: ['out'] }],
  });
  const answer = await askDatabase(config);
  expect(answer).toMatchObject({ kind: 'answered' });
  const names = (alerts: readonly { name: string }[] | null | undefined) => alerts?.map(({ name }) => name);
  expect(names(answer.kind === 'answered' ? answer.facts.alerts : null)).not.toContain('no_replication_role');
  expect(names((await relay.service.status()).alerts)).not.toContain('no_replication_role');
}, 60_000);

test('membership in walpost_relay taken away ends the relay, which says what to grant, as the status does', async () => {
  await using database = await createTestDatabase();
  await using role = await createRole(database, { in: ['walpost_relay'], attributes: 'REPLICATION' });
  const sinks = { out: { type: 'discard' } };
  const start = () => RelayInProcess.start({ database: { ...database, url: role.url }, sinks });
  await using relay = await start();
  await database.query(`REVOKE walpost_relay FROM ${role.name}`);
  const remedy = expect.stringContaining('GRANT walpost_relay TO') as string;
  expect(await relay.ended).toMatchObject({ code: 'PERMISSION_DENIED', remedy });
  const source = { slot: database.slotName };
  const config = configSchema.parse({ database: { url: role.url }, source, sinks, routes: [{ to: ['out'] }] });
  const asked = expect.stringContaining(`GRANT "walpost_relay" TO "${role.name}"`) as string;
  expect(await askDatabase(config)).toMatchObject({ kind: 'silent', reason: asked });
  await database.query(`GRANT walpost_relay TO ${role.name}`);
  await using _again = await start();
  expect(await askDatabase(config)).toMatchObject({ kind: 'answered' });
}, 60_000);
