/** SIGTERM when nothing is wrong, SIGHUP, and the signals that mean nothing. */
import { writeFileSync } from 'node:fs';
import { expect, test, vi } from 'vitest';
import { ConfigFile } from '../support/config-file.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { poll } from '../support/slot-session.ts';
import { Cli } from '../support/walpost-cli.ts';
import { EventReceiver } from './event-receiver.ts';
import { configOf, RunningWalpost, type RunOptions } from './running-walpost.ts';

vi.setConfig({ testTimeout: 90_000 });

const publish = (database: TestDatabase, n = 1): Promise<unknown> =>
  database.query(
    `SELECT walpost.publish('00000000-0000-4000-8000-000000000001', 'a.b', jsonb_build_object('n', $1::int))`,
    [n],
  );

/** A running process with its file, which the test writes again. */
async function start(options: RunOptions) {
  const file = new ConfigFile(JSON.stringify(configOf(options)));
  const cli = new Cli(['run', '--config', file.path], options.cli);
  await cli.prints(/"msg":"streaming from/);
  return {
    cli,
    file,
    write: (change: Partial<RunOptions>) =>
      writeFileSync(file.path, JSON.stringify(configOf({ ...options, ...change }))),
    lines: () => cli.stderr.split('\n').flatMap((line) => (line ? [JSON.parse(line) as Record<string, unknown>] : [])),
    port: () => Number([...cli.stderr.matchAll(/"port":(\d+)/g)].at(-1)?.[1]),
    streams: (times: number) => cli.prints(new RegExp(`("msg":"streaming from[^]*){${times}}`)),
    [Symbol.asyncDispose]: async () => {
      await cli[Symbol.asyncDispose]();
      file[Symbol.dispose]();
    },
  };
}

test.each(['a leader', 'a standby'])('a clean SIGTERM ends at once: %s', async (role) => {
  await using database = await createTestDatabase();
  await using receiver = await EventReceiver.start();
  const sinks = { hook: receiver.sink() };
  await using leader = await RunningWalpost.start({ database, sinks });
  await publish(database);
  await leader.confirms((await receiver.received(1), receiver.lastCommit));
  if (role === 'a leader') {
    expect(await leader.stop()).toMatchObject({ code: 0 });
    expect(leader.cli.stderr).not.toContain('did not close in time');
    return;
  }
  await using standby = new RunningWalpost({ database, sinks });
  await standby.cli.prints(/standing by/);
  expect(await standby.stop()).toMatchObject({ code: 0 });
  expect(standby.cli.stderr).not.toContain('did not close in time');
});

test('SIGHUP: a good file is read, everything is opened anew, and each event comes once', async () => {
  await using database = await createTestDatabase();
  await using before = await EventReceiver.start();
  await using after = await EventReceiver.start();
  await using walpost = await start({ database, sinks: { hook: before.sink() } });
  for (let n = 1; n <= 20; n++) await publish(database, n);
  await before.received(1);
  walpost.write({ sinks: { hook: after.sink() } });
  walpost.cli.child.kill('SIGHUP');
  for (let n = 21; n <= 40; n++) await publish(database, n);
  await walpost.streams(2);
  await publish(database, 41);
  await poll('all', async () => (before.count + after.count >= 41 ? true : undefined), 20_000);
  expect(after.count).toBeGreaterThan(0);
  const told = { file: walpost.file.path, msg: 'the configuration is read again; everything is opened anew' };
  expect(walpost.lines()).toContainEqual(expect.objectContaining(told));
  walpost.cli.child.kill('SIGTERM');
  expect(await walpost.cli.result()).toMatchObject({ code: 0 });
  expect(before.count + after.count).toBe(41);
  expect(walpost.cli.stderr).not.toContain('did not close in time');
});

test('SIGHUP: with a bad file the old configuration stays, and all problems are logged', async () => {
  await using database = await createTestDatabase();
  await using receiver = await EventReceiver.start();
  await using walpost = await start({ database, sinks: { hook: receiver.sink() } });
  walpost.write({ config: { batching: { window: '0ms' }, memory: { budgt: '1MiB' } } });
  walpost.cli.child.kill('SIGHUP');
  await walpost.cli.prints(/the configuration stays as it is/);
  const problems = walpost.lines().filter(({ code }) => code === 'CONFIG_INVALID');
  expect(problems.map(({ msg }) => msg)).toEqual(
    expect.arrayContaining([
      expect.stringMatching(/:1:\d+ batching\.window: must be at least 1ms/),
      expect.stringMatching(/:1:\d+ memory\.budgt: is not an option; did you mean budget\?/),
    ]),
  );
  await publish(database);
  await receiver.received(1);
  expect([...walpost.cli.stderr.matchAll(/streaming from/g)]).toHaveLength(1);
  expect(walpost.cli.stderr).toContain('correct the file, and send SIGHUP again');
  walpost.write({ config: { batching: { window: '1ms' } } });
  walpost.cli.child.kill('SIGHUP');
  await walpost.streams(2);
});

test('SIGHUP: secrets of files are read again, and those of the environment are said to need a restart', async () => {
  await using database = await createTestDatabase();
  const sinks = { log: { type: 'stdout' } };
  using secret = new ConfigFile('the-first-token-of-all\n');
  const http = { port: 0, token: `\${file:${secret.path}}` };
  const database_url = { database: { url: '${DATABASE_URL}' } };
  const env = { DATABASE_URL: database.url };
  await using walpost = await start({ database, sinks, config: { http, ...database_url }, cli: { env } });
  const status = async (token: string): Promise<number> => {
    const headers = { authorization: `Bearer ${token}` };
    return (await fetch(`http://127.0.0.1:${walpost.port()}/status`, { headers })).status;
  };
  expect(await status('the-first-token-of-all')).toBe(200);
  writeFileSync(secret.path, 'the-second-token-of-all\n');
  walpost.cli.child.kill('SIGHUP');
  await walpost.streams(2);
  expect(await status('the-second-token-of-all')).toBe(200);
  expect(await status('the-first-token-of-all')).toBe(401);
  expect(walpost.lines()).toContainEqual(
    expect.objectContaining({
      variables: ['DATABASE_URL'],
      msg: expect.stringContaining('need a restart') as string,
    }),
  );
});

test('SIGTERM while it reads the file again still ends it in order, with 0', async () => {
  await using database = await createTestDatabase();
  await using walpost = await start({ database, sinks: { log: { type: 'stdout' } } });
  walpost.cli.child.kill('SIGHUP');
  await walpost.cli.prints(/"signal":"SIGHUP"/);
  walpost.cli.child.kill('SIGTERM');
  expect(await walpost.cli.result()).toMatchObject({ code: 0 });
  expect(walpost.lines().at(-1)).toMatchObject({ msg: 'walpost ends' });
});

test('other signals are ignored, with a line', async () => {
  await using database = await createTestDatabase();
  await using walpost = await start({ database, sinks: { log: { type: 'stdout' } } });
  for (const signal of ['SIGUSR1', 'SIGUSR2', 'SIGQUIT'] as const) {
    walpost.cli.child.kill(signal);
    await walpost.cli.prints(new RegExp(`"signal":"${signal}".*means nothing`));
  }
  await publish(database);
  await walpost.cli.prints(/"event_type":"a\.b"/, 'stdout');
});
