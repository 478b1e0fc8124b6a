/** `walpost doctor` as a person calls it: exit codes, what it prints, and what it needs. */
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { stripVTControlCharacters } from 'node:util';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { doctorText } from '../../src/cli/doctor-view.ts';
import { CATALOGUE, type FindingCode } from '../../src/doctor/catalogue.ts';
import type { Examination } from '../../src/doctor/examine.ts';
import { migrate } from '../../src/postgres/schema/migrate.ts';
import { ConfigFile } from '../support/config-file.ts';
import { createTestDatabase } from '../support/database.ts';
import { createRole } from '../support/database-role.ts';
import { startServer } from '../support/server.ts';
import { type CliResult, walpost } from '../support/walpost-cli.ts';
import { HEALTHY_SETTINGS, Installation } from './installation.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 60_000 });

let server: Awaited<ReturnType<typeof startServer>>;
beforeAll(async () => {
  server = await startServer('17', { settings: HEALTHY_SETTINGS });
});
afterAll(() => server[Symbol.asyncDispose]());

interface Printed {
  readonly findings: readonly { code: string; severity: string; subject: string; what: string; remedy: string }[];
  readonly ran: readonly string[];
  readonly notKnown: readonly { check: string; reason: string }[];
  readonly notAsked: readonly { check: string; reason: string }[];
}

const SINKS = 'sinks: { out: { type: discard } }\nroutes: [{ to: [out] }]\n';
const configText = (url: string, sinks = SINKS): string => `database: { url: '${url}' }\n${sinks}`;

async function doctor(text: string, ...flags: string[]): Promise<CliResult> {
  using file = new ConfigFile(text);
  return await walpost(['doctor', '-c', file.path, ...flags], { cwd: file.directory });
}

async function asJson(text: string, ...flags: string[]): Promise<Printed & { readonly code: CliResult['code'] }> {
  const { code, stdout, stderr } = await doctor(text, '--json', ...flags);
  expect(stderr).toBe('');
  return { ...(JSON.parse(stdout) as Printed), code };
}

test('a healthy installation: nothing is found, and the exit code is 0', async () => {
  await using installation = await Installation.open({ server: server.url(), started: false });
  await using relay = await installation.relay();
  const found = await asJson(configText(installation.login.url), '--probe');
  expect(found).toMatchObject({ code: 0, findings: [], notKnown: [], notAsked: [] });
  expect(found.ran).toHaveLength(20);
  const { code, stdout } = await doctor(configText(installation.login.url));
  expect(stdout).toMatch(/^not asked\n {2}sinks reachable: .*--probe\n\nNothing found; 19 checks made\.\n$/);
  expect(code).toBe(0);
  await relay.stop();
});

test('before the first start that is all that it says', async () => {
  await using installation = await Installation.open({ server: server.url(), started: false });
  const found = await asJson(configText(installation.login.url));
  expect(found.findings.map(({ code, severity }) => [code, severity])).toEqual([['NEVER_RUN', 'note']]);
  expect(found.code).toBe(3);
});

test('a database that is not migrated is a finding, and `walpost migrate` mends it', async () => {
  await using database = await createTestDatabase({ server: server.url(), migrated: false });
  const found = await asJson(configText(database.url));
  expect(found.findings).toMatchObject([{ code: 'MIGRATION_MISSING', remedy: 'Run `walpost migrate`.' }]);
  expect(found.notKnown).toContainEqual({ check: 'slot', reason: 'the schema walpost is not there' });
  expect(found.ran).toContain('other slots');
  expect(found.code).toBe(3);
  await migrate(database.url);
  expect((await asJson(configText(database.url))).findings.map(({ code }) => code)).toEqual(['NEVER_RUN']);
});

describe('a server that cannot be asked', () => {
  const broken = (change: (url: URL) => void): string => {
    const url = new URL(server.url());
    change(url);
    return configText(url.href);
  };

  test.each<[string, (url: URL) => void, string]>([
    ['nobody listens', (url) => (url.port = '1'), 'SERVER_UNREACHABLE'],
    ['the password is wrong', (url) => (url.password = 'not-the-word'), 'AUTHENTICATION'],
    ['the database is not there', (url) => (url.pathname = '/no_such_database'), 'DATABASE_MISSING'],
  ])('%s', async (_name, change, code) => {
    const found = await asJson(broken(change));
    expect(found.findings).toMatchObject([{ code, severity: 'critical', subject: 'server 127.0.0.1' }]);
    expect(found.notKnown).toHaveLength(17);
    expect(found.ran).toEqual(['sink configuration', 'connection']);
    expect(found.code).toBe(3);
    expect(JSON.stringify(found)).not.toContain('not-the-word');
  });

  test('says for people what it does not know, in one line', async () => {
    const { stdout } = await doctor(broken((url) => (url.port = '1')));
    expect(stdout).toMatch(/\nnot known\n {2}server settings, login, .*, clocks: the database was not reached\n/);
    expect(stdout).toMatch(/1 found: 1 critical, 0 warnings, 0 notes; 2 checks made; 17 checks could not be made/);
  });
});

test('a configuration that is wrong elsewhere than in its sinks ends with 2', async () => {
  const { code, stderr } = await doctor(configText('mysql://localhost/app'));
  expect(code).toBe(2);
  expect(stderr).toContain('CONFIG_INVALID');
  expect((await doctor(configText('postgres://localhost/app'), '--prob')).code).toBe(2);
});

describe('secrets of sinks', () => {
  const hook = (secret: string, url = 'https://example.com/hook'): string =>
    `sinks: { hook: { type: webhook, url: '${url}', secret: '${secret}', allow_private: true } }\nroutes: [{ to: [hook] }]\n`;

  test('one that this environment lacks is not known; with --probe it is a finding', async () => {
    await using installation = await Installation.open({ server: server.url() });
    const text = configText(installation.login.url, hook('${NO_SUCH_SECRET}'));
    const found = await asJson(text);
    expect(found.findings.map(({ code }) => code)).toEqual(['SLOT_UNREAD']);
    expect(found.notKnown).toEqual([
      { check: 'sink configuration', reason: expect.stringContaining('NO_SUCH_SECRET, which is not set') as string },
      { check: 'parked events', reason: 'the sinks are not known' },
      { check: 'retention', reason: 'the sinks are not known' },
    ]);
    const probed = await asJson(text, '--probe');
    expect(probed.findings[0]).toMatchObject({ code: 'SINK_CONFIG', subject: 'sinks.hook.secret' });
  });

  test('one of a wrong shape is a finding, and the right shape mends it', async () => {
    await using installation = await Installation.open({ server: server.url() });
    const found = await asJson(configText(installation.login.url, hook('whsec_!!!not base64!!!')));
    expect(found.findings[0]).toMatchObject({
      code: 'SINK_CONFIG',
      severity: 'critical',
      subject: 'sinks.hook.secret',
    });
    expect(JSON.stringify(found)).not.toContain('not base64!!!');
    const mended = await asJson(
      configText(installation.login.url, hook('whsec_YSBzZWNyZXQgb2YgeW91ciBvd24sIDI0IGJ5dGVz')),
    );
    expect(mended.findings.map(({ code }) => code)).toEqual(['SLOT_UNREAD']);
  });

  test('a sink that no route names', async () => {
    await using installation = await Installation.open({ server: server.url() });
    const idle = 'sinks: { out: { type: discard }, extra: { type: discard } }\nroutes: [{ to: [out] }]\n';
    const found = await asJson(configText(installation.login.url, idle));
    expect(found.findings.at(-1)).toMatchObject({ code: 'SINK_IDLE', subject: 'sink extra' });
  });

  test('a destination that does not listen, until it does; nothing is sent there', async () => {
    await using installation = await Installation.open({ server: server.url() });
    const receiver = createServer().listen(0, '127.0.0.1');
    await once(receiver, 'listening');
    const { port } = receiver.address() as AddressInfo;
    receiver.close();
    await once(receiver, 'close');
    const text = configText(installation.login.url, hook('a secret of my own', `http://127.0.0.1:${port}/hook`));
    expect((await asJson(text)).findings.map(({ code }) => code)).toEqual(['SLOT_UNREAD']);
    const found = await asJson(text, '--probe');
    expect(found.findings[0]).toMatchObject({ code: 'SINK_UNREACHABLE', subject: 'sink hook' });
    expect(found.findings[0]?.what).toContain(`127.0.0.1:${port}: The destination refused the connection`);
    let received = 0;
    let connections = 0;
    receiver.on('connection', (socket) => {
      connections += 1;
      socket.on('data', (data) => (received += data.length)).on('error', () => undefined);
    });
    receiver.listen(port, '127.0.0.1');
    await once(receiver, 'listening');
    try {
      expect((await asJson(text, '--probe')).findings.map(({ code }) => code)).toEqual(['SLOT_UNREAD']);
      expect([connections, received]).toEqual([1, 0]);
    } finally {
      receiver.close();
    }
  });
});

test('parked events of a sink that is not configured, until it is named', async () => {
  await using installation = await Installation.open({ server: server.url() });
  const { database, login } = installation;
  await database.query(
    `INSERT INTO walpost.parked (slot, epoch, sink, history, order_lsn, order_job, place, commit_lsn, ordinal, size, received_at,
                                 event_id, organization_id, event_type, event_version, topic, payload, headers)
     SELECT slot, 1, 'gone', 0, '0/1', false, 1, '0/1', 0, 1, now(), 'e', 'o', 't', 1, 'default', '{}', '{}' FROM walpost.cursor`,
  );
  const found = await asJson(configText(login.url));
  expect(found.findings[0]).toMatchObject({ code: 'PARKED_SINK_UNKNOWN' });
  const named = 'sinks: { out: { type: discard, formerly: gone } }\nroutes: [{ to: [out] }]\n';
  expect((await asJson(configText(login.url, named))).findings.map(({ code }) => code)).toEqual(['SLOT_UNREAD']);
});

test('what a login may not see is not known, and no health', async () => {
  await using installation = await Installation.open({ server: server.url() });
  await using stranger = await createRole(installation.database, { attributes: 'REPLICATION' });
  const found = await asJson(configText(stranger.url));
  expect(found.findings.map(({ code }) => code)).toContain('RELAY_ROLE');
  const unknown = found.notKnown.map(({ check }) => check);
  expect(unknown).toEqual(expect.arrayContaining(['slot', 'role model', 'captures', 'parked events']));
});

test('when a transaction of another role began takes a right; without it that is said, with the GRANT that gives it', async () => {
  await using installation = await Installation.open({ server: server.url() });
  const { database, login } = installation;
  await database.query(`REVOKE pg_read_all_stats FROM ${login.name}`);
  const session = await database.client();
  await session.query('BEGIN');
  await session.query('SELECT pg_current_xact_id()');
  const [unknown] = (await asJson(configText(login.url))).notKnown;
  expect(unknown).toMatchObject({ check: 'transactions', reason: expect.stringMatching(/GRANT pg_read_all_stats/) });
  await database.query(/GRANT [^;]*;/.exec(unknown?.reason ?? '')?.[0] ?? '');
  expect((await asJson(configText(login.url))).notKnown).toEqual([]);
  await session.query('ROLLBACK');
});

describe('the text', () => {
  const every: Examination = {
    findings: Object.entries(CATALOGUE).map(([code, { severity, why }]) => ({
      code: code as FindingCode,
      severity,
      subject: 'publication walpost',
      what: 'It holds other tables too: public.a_table_with_a_long_name, public.another_one, public.a_third.',
      why,
      remedy: 'ALTER PUBLICATION "walpost" SET TABLE "walpost"."outbox"; and some words about what that does to it.',
    })),
    ran: ['a', 'b'],
    notKnown: [{ check: 'slot', reason: 'permission denied for table cursor (SQLSTATE 42501).' }],
    notAsked: [{ check: 'sinks reachable', reason: 'it connects to destinations; ask with --probe' }],
  };

  test.each([60, 80, 160])('fits %i columns', (width) => {
    for (const color of [false, true]) {
      const lines = doctorText(every, color, width).split('\n');
      expect(Math.max(...lines.map((line) => stripVTControlCharacters(line).length))).toBeLessThanOrEqual(width);
    }
  });

  test('control characters of names do not reach the terminal', () => {
    const [first] = every.findings;
    const text = doctorText({ ...every, findings: first ? [{ ...first, subject: 'role \x1b[2Jx' }] : [] }, false, 80);
    expect(text).toContain('role \\x1b[2Jx');
  });
});
