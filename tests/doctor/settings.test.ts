/** Faults of a whole server, which take a restart, and logins that come over a network. */
import { expect, test, vi } from 'vitest';
import type { EmbeddedPostgres } from '../../src/demo/postgres/embedded-postgres.ts';
import { Certificates } from '../support/certificates.ts';
import { newClient } from '../support/client.ts';
import { debianPostgresMissing, startDebianPostgres } from '../support/debian-postgres.ts';
import { pgbouncerMissing, startPgbouncer } from '../support/pgbouncer.ts';
import { usualSlot } from '../../src/relay/starts/start-facts.ts';
import { startServer } from '../support/server.ts';
import { HEALTHY_SETTINGS, Installation, statementsOf } from './installation.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 60_000 });

const debianIsMissing = await debianPostgresMissing();
const bouncerIsMissing = await pgbouncerMissing();

/** Its sessions end with a restart of the server, which takes it along in the end: so nobody disposes it. */
const onServerOfItsOwn = (server: EmbeddedPostgres): Promise<Installation> =>
  Installation.open({ server: server.url(), started: false });

/** Runs the statements of a remedy on the server, and restarts it where the remedy says so. */
async function mendServer(server: EmbeddedPostgres, remedy: string): Promise<void> {
  const client = newClient(server.url());
  await client.connect();
  for (const statement of statementsOf(remedy)) await client.query(statement);
  await client.end();
  if (remedy.includes('restart the server')) await server.restart();
}

const codes = ({ findings }: { findings: readonly { code: string }[] }): string[] => findings.map(({ code }) => code);
const at = (url: string, change: (url: URL) => void): string => {
  const other = new URL(url);
  change(other);
  return other.href;
};

test.each<[code: string, settings: Record<string, string>, says: RegExp]>([
  ['WAL_LEVEL', { wal_level: 'replica' }, /Its wal_level is replica/],
  ['WAL_SENDERS_SHORT', { max_wal_senders: '1' }, /0 of 1 walsenders/],
  ['CONNECTIONS_SHORT', { max_connections: '12' }, /connections; of 9 that are allowed/],
  ['SYNCHRONOUS_STANDBY', { synchronous_standby_names: '*', synchronous_commit: 'local' }, /synchronous_standby_names/],
])('%s', async (code, settings, says) => {
  await using server = await startServer('17', { settings: { ...HEALTHY_SETTINGS, ...settings } });
  const installation = await onServerOfItsOwn(server);
  const found = (await installation.examine()).findings.find((each) => each.code === code);
  expect(found?.what).toMatch(says);
  const remedy =
    code === 'SYNCHRONOUS_STANDBY'
      ? `ALTER SYSTEM SET synchronous_standby_names = ''; SELECT pg_reload_conf();`
      : (found?.remedy ?? '');
  await mendServer(server, remedy);
  await vi.waitFor(async () => expect(codes(await installation.examine())).toEqual(['NEVER_RUN']), { timeout: 10_000 });
});

test('every place for slots is taken, one of them by ours', async () => {
  await using server = await startServer('17', { settings: { ...HEALTHY_SETTINGS, max_replication_slots: '1' } });
  const installation = await onServerOfItsOwn(server);
  const { database } = installation;
  const slot = usualSlot(new URL(database.url).pathname.slice(1));
  await database.query(`SELECT pg_create_logical_replication_slot('${slot}', 'pgoutput')`);
  expect(codes(await installation.examine())).not.toContain('SLOTS_FULL');
});

test('every place for slots is taken, so that ours has none', async () => {
  await using server = await startServer('17', { settings: { ...HEALTHY_SETTINGS, max_replication_slots: '1' } });
  const installation = await onServerOfItsOwn(server);
  await installation.database.query(`SELECT pg_create_physical_replication_slot('other')`);
  const found = (await installation.examine()).findings;
  expect(found.map(({ code }) => code)).toEqual(['TOO_MANY_SLOTS', 'SLOTS_FULL', 'NEVER_RUN']);
  await mendServer(server, found[1]?.remedy ?? '');
  expect(codes(await installation.examine())).toEqual(['NEVER_RUN']);
});

test('a role of walpost is missing', async () => {
  await using server = await startServer('17', { settings: HEALTHY_SETTINGS });
  const installation = await onServerOfItsOwn(server);
  await installation.database.query('ALTER ROLE walpost_reader RENAME TO was_reader');
  const found = (await installation.examine()).findings.find(({ code }) => code === 'ROLE_MISSING');
  expect(found?.remedy).toContain('CREATE ROLE walpost_reader NOLOGIN;');
  await installation.mend(found?.remedy ?? '');
  expect(codes(await installation.examine())).not.toContain('ROLE_MISSING');
});

test('PostgreSQL 18 gives up a slot that is idle', async () => {
  const settings = { ...HEALTHY_SETTINGS, idle_replication_slot_timeout: '60' };
  await using server = await startServer('18', { settings });
  const installation = await onServerOfItsOwn(server);
  const [found] = (await installation.examine()).findings;
  expect(found).toMatchObject({ code: 'IDLE_SLOT_TIMEOUT', severity: 'warning' });
  await mendServer(server, found?.remedy ?? '');
  await vi.waitFor(async () => expect(codes(await installation.examine())).toEqual(['NEVER_RUN']), { timeout: 10_000 });
});

test('TLS: off, then without a look at the certificate, then as it should be; and a superuser over the network', async () => {
  using files = new Certificates();
  const ca = files.ca('ca');
  files.serve(files.issue(ca, { names: ['DNS:localhost', 'IP:0.0.0.0', 'IP:127.0.0.1'] }));
  const [cert, key] = [files.path('server.crt'), files.path('server.key')];
  const ssl = { ssl: 'on', ssl_cert_file: cert, ssl_key_file: key };
  await using server = await startServer('17', { settings: { ...HEALTHY_SETTINGS, ...ssl } });
  await using installation = await Installation.open({ server: server.url() });
  const { login, database } = installation;
  // This address leads to this machine, and does not look like it.
  const away = at(login.url, (url) => (url.hostname = '0.0.0.0'));
  const look = async (parameters: string) => (await installation.examine({ url: `${away}?${parameters}` })).findings;
  const [off, ...others] = await look('sslmode=disable');
  expect(off).toMatchObject({ code: 'TLS_OFF', severity: 'warning', subject: 'server 0.0.0.0' });
  expect(others.map(({ code }) => code)).toEqual(['SLOT_UNREAD']);
  expect(off?.remedy).toContain('sslmode=verify-full');
  const [unchecked] = await look('sslmode=require');
  expect(unchecked).toMatchObject({ code: 'TLS_UNCHECKED', subject: 'server 0.0.0.0' });
  expect((await look(`sslmode=verify-full&sslrootcert=${ca.cert}`)).map(({ code }) => code)).toEqual(['SLOT_UNREAD']);
  const superuser = `${at(database.url, (url) => (url.hostname = '0.0.0.0'))}?sslmode=verify-full&sslrootcert=${ca.cert}`;
  expect(codes(await installation.examine({ url: superuser }))).toEqual(['SLOT_UNREAD', 'RELAY_SUPERUSER']);
  const untrusted = await look('sslmode=verify-full');
  expect(untrusted.map(({ code }) => code)).toEqual(['TLS_UNTRUSTED']);
});

test.skipIf(bouncerIsMissing !== undefined)('a pooler, and the direct port', async () => {
  await using server = await startServer('17', { settings: HEALTHY_SETTINGS });
  await using installation = await Installation.open({ server: server.url() });
  await using pooler = await startPgbouncer(server.url(), {
    pool_mode: 'transaction',
    ignore_startup_parameters: 'options,extra_float_digits',
  });
  const behind = at(installation.login.url, (url) => (url.port = new URL(pooler.url).port));
  const [found] = (await installation.examine({ url: behind })).findings;
  expect(found).toMatchObject({ code: 'POOLER', severity: 'critical' });
  expect(found?.remedy).toContain('Use the direct host and port');
  expect(codes(await installation.examine())).toEqual(['SLOT_UNREAD']);
});

test.skipIf(debianIsMissing !== undefined)('PostgreSQL 15: healthy, and a role that does not inherit', async () => {
  await using server = await startDebianPostgres({ settings: HEALTHY_SETTINGS });
  await using installation = await Installation.open({ server: server.url() });
  await using relay = await installation.relay();
  expect(await installation.examine()).toMatchObject({ findings: [], notKnown: [] });
  await relay.stop();
  const { database, login } = installation;
  // Where failover slots do not exist there is nothing to say of them.
  await database.query(`SELECT pg_create_physical_replication_slot('standby')`);
  expect(codes(await installation.examine())).toEqual(['SLOT_UNREAD']);
  await database.query(`ALTER ROLE ${login.name} NOINHERIT`);
  const found = (await installation.examine()).findings.find(({ code }) => code === 'RELAY_ROLE');
  expect(found?.remedy).toBe(`ALTER ROLE "${login.name}" INHERIT;`);
  await installation.mend(found?.remedy ?? '');
  expect(codes(await installation.examine())).toEqual(['SLOT_UNREAD']);
});
