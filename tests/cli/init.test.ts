import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseEnv } from 'node:util';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { answersOf, type Ask } from '../../src/cli/init-answers.ts';
import { createTestDatabase } from '../support/database.ts';
import { EventLog } from '../support/event-log.ts';
import { Cli, type CliResult, walpost } from '../support/walpost-cli.ts';
import { closedPort } from '../support/webhook-receiver.ts';

let directory: string;
beforeEach(() => (directory = mkdtempSync(join(tmpdir(), 'walpost-init-'))));
afterEach(() => rmSync(directory, { recursive: true }));

const run = (...argv: string[]): Promise<CliResult> => walpost(argv, { cwd: directory });
const read = (name: string): string => readFileSync(join(directory, name), 'utf8');

test('what it writes is checked, starts and delivers an event; no secret is in it', async () => {
  await using database = await createTestDatabase({ migrated: false });
  await using log = await EventLog.start();
  const url = `http://127.0.0.1:${log.receiver.port}/hook?token=of-the-receiver`;
  const port = await closedPort();
  const made = await run(
    'init',
    '--yes',
    '--database-url',
    database.url,
    '--sink',
    'webhook',
    '--url',
    url,
    '--events',
    'job.*',
    '--port',
    String(port),
  );
  expect(made).toMatchObject({ code: 0, stderr: '' });
  const secrets = Object.values(parseEnv(read('.env')));
  expect(secrets).toEqual(expect.arrayContaining([database.url, url]));
  expect(secrets).toHaveLength(4);
  for (const secret of secrets) expect(read('walpost.yaml') + read('compose.yaml')).not.toContain(secret);
  expect(statSync(join(directory, '.env')).mode & 0o777).toBe(0o600);

  expect(await run('config', 'check')).toMatchObject({ code: 0 });
  expect(await run('migrate')).toMatchObject({ code: 0 });
  await using running = new Cli(['run'], { cwd: directory });
  await running.prints(/streaming from/);
  const [published] = await database.query<{ id: string }>(
    `SELECT walpost.publish(gen_random_uuid(), 'job.completed', '{"n": 1}')::text AS id`,
  );
  await log.has([published?.id ?? '']);
  expect(log.events).toMatchObject([{ event_type: 'job.completed' }]);
  running.child.kill('SIGTERM');
  await running.result();
  await database.query(
    'SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = current_database()',
  );
}, 60_000);

test('the compose file migrates before it runs, with the same file and the same secrets', async () => {
  await run('init', '--yes', '--port', '9999');
  const { services } = parse(read('compose.yaml'), { merge: true }) as {
    services: Record<
      string,
      { env_file: string; volumes: string[]; command?: string[]; depends_on?: object; ports?: string[] }
    >;
  };
  for (const service of Object.values(services)) {
    expect(service).toMatchObject({ env_file: '.env', volumes: ['./walpost.yaml:/etc/walpost/walpost.yaml:ro'] });
  }
  expect(services['migrate']?.command).toEqual(['migrate']);
  expect(services['walpost']).toMatchObject({
    depends_on: { migrate: { condition: 'service_completed_successfully' } },
    ports: ['127.0.0.1:9999:9999'],
  });
});

test('files that are there stay, unless they are to be written over; .env is only added to', async () => {
  writeFileSync(join(directory, '.env'), "DATABASE_URL='postgres://kept@localhost/app'");
  writeFileSync(join(directory, 'walpost.yaml'), 'mine');
  const refused = await run('init', '--yes');
  expect(refused).toMatchObject({ code: 2 });
  expect(refused.stderr).toMatch(/walpost.yaml: already there[^]*--force/);
  expect(read('walpost.yaml')).toBe('mine');
  expect(await run('init', '--yes', '--force')).toMatchObject({ code: 0 });
  expect(await run('config', 'check')).toMatchObject({ code: 0 });
  expect(parseEnv(read('.env'))).toMatchObject({
    DATABASE_URL: 'postgres://kept@localhost/app',
    WALPOST_HTTP_TOKEN: expect.stringMatching(/.{40}/) as string,
  });
});

test('without a terminal it asks nothing', async () => {
  const { code, stderr } = await run('init');
  expect(code).toBe(2);
  expect(stderr).toMatch(/Nobody can be asked here[^]*--yes/);
});

describe('the questions', () => {
  test('are five, and what a flag says is not asked', async () => {
    const asked: string[] = [];
    const ask: Ask = (question, byDefault, read) => {
      asked.push(question);
      return Promise.resolve(read(question.startsWith('Where to') ? 'webhook' : byDefault));
    };
    const all = await answersOf({}, ask);
    expect(all).toMatchObject({ sink: 'webhook', events: '*', port: 9464 });
    expect(asked).toHaveLength(5);
    asked.length = 0;
    await answersOf({ databaseUrl: 'postgres://h/app', sink: 'stdout', events: 'a.*' }, ask);
    expect(asked).toEqual(['Port of health, status and metrics']);
  });

  test.each([
    [{ databaseUrl: 'mysql://root:hunter2@h/app' }, '--database-url takes a URL'],
    [{ sink: 'kafkaesque' }, '--sink takes webhook, realtime, stdout, not "kafkaesque"'],
    [{ sink: 'webhook', url: 'ftp://h' }, '--url takes a URL'],
    [{ events: 'a b' }, '--events takes a pattern'],
    [{ port: '70000' }, '--port takes a number from 1 to 65535, not "70000"'],
  ])('%j is refused, without a password in the message', async (flags, message) => {
    const refusal = await answersOf(flags, (_, byDefault, read) => Promise.resolve(read(byDefault))).catch(String);
    expect(refusal).toContain(message);
    expect(refusal).not.toContain('hunter2');
  });
});
