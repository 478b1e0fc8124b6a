/** `walpost status` for monitoring systems and operators: one line, changes, no secrets of sinks, and why nothing streams. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { ConfigFile } from '../support/config-file.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { RelayInProcess } from '../support/relay-in-process.ts';
import { startServer } from '../support/server.ts';
import { Cli, type CliResult, walpost } from '../support/walpost-cli.ts';

/** One of its own: slots of other tests would hold WAL back here too, which is an alert. */
let server: Awaited<ReturnType<typeof startServer>>;
let database: TestDatabase;
let file: ConfigFile;
beforeAll(async () => {
  server = await startServer();
});
afterAll(() => server[Symbol.asyncDispose]());
beforeEach(async () => {
  database = await createTestDatabase({ server: server.url() });
  const hook = {
    type: 'webhook',
    url: '${HOOK_URL}',
    secret: '${N8N_SECRET}',
    headers: { authorization: 'Bearer ${file:/nowhere}' },
  };
  const realtime = { type: 'realtime', url: 'https://${PROJECT}.supabase.co', key: '${KEY}', concurrency: '${MANY}' };
  file = new ConfigFile(
    JSON.stringify({
      database: { url: database.url },
      source: { slot: database.slotName },
      sinks: { hook, realtime },
      routes: [{ to: ['hook', 'realtime'] }],
      http: { enabled: false },
    }),
  );
});
afterEach(async () => {
  file[Symbol.dispose]();
  await database[Symbol.asyncDispose]();
});

const ask = (...words: string[]): Promise<CliResult> =>
  walpost([...words, '--config', file.path], { env: { N8N_SECRET: '' } });
const relay = (): Promise<RelayInProcess> => RelayInProcess.start({ database, sinks: { hook: { type: 'discard' } } });

describe('without the secrets of the sinks', { timeout: 60_000 }, () => {
  test.each(['status', 'jobs list', 'parked list', 'parked retry --sink hook --dry-run', 'dead-letters list'])(
    'walpost %s answers',
    async (command) => {
      await using _relay = await relay();
      const { code, stderr } = await ask(...command.split(' '));
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    },
  );

  test('walpost run and config check still want them, and so does what is no secret of a sink', async () => {
    for (const command of [['run'], ['config', 'check']]) {
      const { code, stdout, stderr } = await ask(...command);
      expect(stdout + stderr).toContain('needs the environment variable HOOK_URL');
      expect(code).toBeGreaterThan(1);
    }
    const { code, stderr } = await ask('status', '--set', 'database.url=');
    expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringContaining('database.url') });
  });
});

describe('--check', { timeout: 60_000 }, () => {
  test('is OK while a relay streams, and says in one line what is wrong', async () => {
    {
      await using leader = await relay();
      expect(await ask('status', '--check')).toEqual({
        code: 0,
        stdout: expect.stringMatching(new RegExp(`^OK ${database.slotName} reserved, WAL kept .+, unconfirmed .+\\n$`)),
        stderr: '',
      });
      await leader.stop();
    }
    expect(await ask('status', '--check')).toEqual({
      code: 3,
      stdout: `WARNING slot_inactive ${database.slotName}: nobody reads from the slot\n`,
      stderr: '',
    });
    await database.query('SELECT pg_drop_replication_slot($1)', [database.slotName]);
    const { code, stdout } = await ask('status', '--check');
    expect(code).toBe(3);
    expect(stdout).toBe(`CRITICAL slot_missing ${database.slotName}: the slot does not keep what is not delivered\n`);
  });

  test('what cannot be seen is not OK', async () => {
    await database.query('DROP VIEW walpost.alerts');
    await using leader = await relay();
    expect(await ask('status', '--check')).toMatchObject({
      code: 3,
      stdout: expect.stringMatching(/^WARNING .*alerts/),
    });
    const away = await ask('status', '--check', '--set', 'database.url=postgres://localhost:1/x');
    expect(away).toMatchObject({ code: 3, stdout: expect.stringMatching(/^CRITICAL .+could not be asked.+\n$/) });
    await leader.stop();
    for (const more of ['--json', '--watch']) expect((await ask('status', '--check', more)).code).toBe(2);
  });
});

test('--watch 200ms --json prints lines, from the second on with what changed', { timeout: 60_000 }, async () => {
  await using leader = await relay();
  await using cli = new Cli(['status', '--watch', '200ms', '--json', '--config', file.path]);
  await cli.prints(/\n.*\n.*\n/, 'stdout');
  cli.child.kill('SIGTERM');
  const { code, stdout } = await cli.result();
  expect(code).toBe(0);
  const [first, second] = stdout
    .split('\n')
    .map((line) => (line === '' ? {} : (JSON.parse(line) as Record<string, unknown>)));
  expect(first).toMatchObject({ heldBy: [], alerts: [], wal: { writtenBytesPerSecond: null, secondsLeft: null } });
  expect(first).not.toHaveProperty('changes');
  expect(second?.['changes']).toMatchObject({ seconds: expect.any(Number), receivedPerSecond: null, parked: 0 });
  await leader.stop();
  for (const wrong of ['often', '10ms']) expect((await ask('status', '--watch', wrong)).code).toBe(2);
});

describe('after the relay has ended', { timeout: 60_000 }, () => {
  test('the status says what would stop a start', async () => {
    {
      await using leader = await relay();
      await leader.stop();
    }
    expect((await ask('status')).stdout).not.toContain('would end with');
    await database.query('DROP PUBLICATION walpost');
    expect((await ask('status')).stdout).toMatch(
      /A start of `walpost run` would end with PUBLICATION\w*: .+CREATE PUBLICATION/,
    );
  });

  test('a relay that was killed is told from one that ended', async () => {
    {
      await using leader = await relay();
      await database.query('UPDATE walpost.cursor SET starts = 1, starts_lsn = lsn');
      expect((await ask('status')).stdout).not.toContain('good order');
      await leader.stop();
    }
    expect((await ask('status')).stdout).not.toContain('good order');
    await database.query('UPDATE walpost.cursor SET starts = 1, starts_lsn = lsn');
    expect((await ask('status')).stdout).toContain('did not end in good order');
    await database.query(`UPDATE walpost.cursor SET starts = 4, in_flight = '{"sink": "hook", "event_id": "e7"}'`);
    expect((await ask('status')).stdout).toMatch(/4 starts in a row, .+; event e7 was with sink hook then/);
  });

  test('a lost slot has no limit to speak of', async () => {
    await using server = await startServer('17', { settings: { max_slot_wal_keep_size: '1MB' } });
    await using own = await createTestDatabase({ server: server.url() });
    await own.query(`SELECT pg_create_logical_replication_slot($1, 'pgoutput')`, [own.slotName]);
    for (let n = 0; n < 4; n++) await own.query(`SELECT pg_logical_emit_message(false, 'x', 'x'), pg_switch_wal()`);
    await own.query('CHECKPOINT');
    const { stdout } = await ask('status', '--set', `database.url=${own.url}`, '--set', `source.slot=${own.slotName}`);
    expect(stdout).toMatch(new RegExp(`^slot +${own.slotName}, lost`, 'm'));
    expect(stdout).toMatch(/^WAL kept +unknown$/m);
    expect(stdout).toMatch(/^critical +slot_lost, /m);
    expect(stdout).not.toMatch(/no limit|WAL left/);
  });
});
