/** examples/job-outbox, as its README says: its scripts, and kills of everything between a request and its work. */
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Queue } from 'bullmq';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { noPromtool, promtool } from '../deploy/promtool.ts';
import { newClient } from '../support/client.ts';
import { ExampleRun } from '../support/example-run.ts';
import { redisMissing } from '../support/redis-server.ts';
import { poll } from '../support/slot-session.ts';

const missing = await redisMissing();
const FOLDER = join(import.meta.dirname, '../../examples/job-outbox');
const ALERTS = join(FOLDER, 'alerts.yaml');

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly labels: { readonly severity: string };
}

const { groups } = parse(readFileSync(ALERTS, 'utf8')) as { groups: { rules: Rule[] }[] };
const rules = groups.flatMap((group) => group.rules);

describe.skipIf(missing)(`job-outbox ${missing ?? ''}`, { timeout: 120_000 }, () => {
  let example: ExampleRun;
  beforeAll(async () => {
    example = await ExampleRun.start('job-outbox');
  }, 120_000);
  afterAll(async () => example[Symbol.asyncDispose](), 60_000);

  const owner = async (sql: string, values: unknown[] = []): Promise<unknown[]> => {
    const client = newClient({ connectionString: example.env['OWNER_URL'] });
    await client.connect();
    try {
      return (await client.query(sql, values)).rows;
    } finally {
      await client.end();
    }
  };
  const start = (organization: string, key: string): Promise<Response> =>
    fetch(`http://127.0.0.1:${example.env['API_PORT']}/courses`, {
      method: 'POST',
      headers: { 'idempotency-key': key, 'x-organization-id': organization },
      body: JSON.stringify({ title: key }),
    });

  test.each([
    ['smoke', 'the seven smoke tests', 'All 7 passed.'],
    ['load', '100 requests at once, with one key and with a key each', 'All 3 passed.'],
    ['early', 'no worker is before the commit, and a course that is lost is repaired', 'All 3 passed.'],
    ['verify', 'the checks of a deployment', 'All 15 passed.'],
  ])('npm run %s: %s', async (script, _, last) => {
    const { code, output } = await example.npmRun(script);
    expect({ code, output }).toMatchObject({ code: 0, output: expect.stringContaining(last) });
  });

  test('each metric of the alerts is served', async () => {
    const page = async (port = ''): Promise<string> => (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
    const served = await page(example.env['WORKER_PORT']);
    const named = rules.flatMap(({ expr }) => expr.match(/(?:courses|walpost_guard)_[a-z_]+/g) ?? []);
    expect(named.length).toBeGreaterThan(8);
    expect(named.filter((name) => !served.split('\n').some((line) => line.split(/[ {]/)[0] === name))).toEqual([]);
    expect(await page(example.env['API_PORT'])).toContain('courses_started_total{repeated="true"} ');
  });

  test('a job that BullMQ runs again takes effect once', async () => {
    const connection = { port: Number(example.env['REDIS_PORT']) };
    await using queue = Object.assign(new Queue('outline', { connection }), {
      [Symbol.asyncDispose]: () => queue.close(),
    });
    const ended = async (outcome: string): Promise<number> => {
      const text = await (await fetch(`http://127.0.0.1:${example.env['WORKER_PORT']}/metrics`)).text();
      return Number(
        new RegExp(`^courses_jobs_total\\{queue="outline",outcome="${outcome}"\\} (\\d+)$`, 'm').exec(text)?.[1],
      );
    };
    const [done, repeated] = [await ended('done'), await ended('repeated')];
    const [job] = await queue.getCompleted(0, 0);
    await job?.retry('completed');
    await poll(
      'it has run again',
      async () => (await ended('done')) + (await ended('repeated')) > done + repeated || undefined,
    );
    expect([await ended('done'), await ended('repeated')]).toEqual([done, repeated + 1]);
    expect(await example.npmRun('audit')).toMatchObject({ code: 0 });
  });

  test('kill -9 of walpost, of the workers, of Redis and of the API: each job takes effect once', async () => {
    const organization = randomUUID();
    const answers: Promise<number>[] = [];
    /** A client that tries again with the same key until it has an answer. */
    const request = (key: string): Promise<number> =>
      poll(
        'an answer',
        async () => {
          const answer = await start(organization, key).catch(() => undefined);
          return answer && answer.status < 300 ? answer.status : undefined;
        },
        60_000,
      );
    for (const name of ['walpost', 'workers', 'redis', 'api', 'walpost']) {
      for (let n = 0; n < 20; n += 1) answers.push(request(`${answers.length}`));
      await example.kill(name);
    }
    expect(await Promise.all(answers)).toHaveLength(100);
    const { code, output } = await example.npmRun('audit');
    expect({ code, output }).toMatchObject({
      code: 0,
      output: expect.stringContaining(' 0 lost, 0 took effect twice, 0 dead letters, 0 courses without'),
    });
    const rows = await owner(
      `SELECT count(*)::int AS courses, (SELECT count(*)::int FROM app.work WHERE organization_id = $1) AS work
         FROM app.courses WHERE organization_id = $1 AND state = 'ready'`,
      [organization],
    );
    expect(rows).toEqual([{ courses: 100, work: 200 }]);
  });

  test('npm run verify and npm run audit tell what is wrong, with exit code 1', async () => {
    await owner(
      `INSERT INTO app.work (organization_id, course_id, part, event_id)
       SELECT organization_id, course_id, part, event_id FROM app.work LIMIT 1`,
    );
    const redis = new Redis(Number(example.env['REDIS_PORT']));
    await redis.config('SET', 'maxmemory-policy', 'allkeys-lru');
    redis.disconnect();
    const [audit, verify] = [await example.npmRun('audit'), await example.npmRun('verify')];
    expect(audit).toMatchObject({ code: 1, output: expect.stringContaining(' 1 took effect twice') });
    expect(verify).toMatchObject({
      code: 1,
      output: expect.stringMatching(/^ {2}FAILED {2}Redis evicts no job: maxmemory-policy is allkeys-lru/m),
    });
  });
});

describe.skipIf(noPromtool)('the alerts of the application', () => {
  test('promtool accepts them', () => {
    const { code, output } = promtool(['check', 'rules', '--lint-fatal', ALERTS]);
    expect({ code, output }).toMatchObject({ code: 0, output: expect.stringContaining(`${rules.length} rules found`) });
  });

  test('and each fires and resolves', () => {
    const { code, output } = promtool(['test', 'rules', join(import.meta.dirname, 'job-outbox-alerts.yaml')]);
    expect({ code, output }).toMatchObject({ code: 0 });
  });
});

test('the table of eleven alerts names each rule of the application, and rules of walpost that exist', () => {
  const rows = [...readFileSync(join(FOLDER, 'README.md'), 'utf8').matchAll(/^\|.*\| (critical|warning) +\|(.*)\|$/gm)];
  const severities = rows.map(([, severity]) => severity);
  expect([severities.filter((each) => each === 'critical').length, severities.length]).toEqual([5, 11]);
  const named = rows.flatMap(([, , cell = '']) => cell.match(/`\w+`/g) ?? []).map((name) => name.slice(1, -1));
  expect(named.filter((name) => name.startsWith('Courses')).toSorted()).toEqual(
    rules.map(({ alert }) => alert).toSorted(),
  );
  const ours = readFileSync(join(FOLDER, '../../deploy/prometheus/rules.yaml'), 'utf8');
  expect(named.filter((name) => name.startsWith('Walpost') && !ours.includes(`alert: ${name}\n`))).toEqual([]);
});
