/**
 * `npm run verify`: is this deployment whole? Exit code 0 when all checks pass, else 1, for CI and for the end of a release.
 * It starts one course in an organization of its own.
 */
import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { WALPOST } from '../support/walpost.ts';
import { Application, until } from './application.ts';
import { type Check, expectThat, runChecks } from '../support/checklist.ts';
import { QUEUES } from './workers.ts';

await using application = new Application();
const organization = randomUUID();

interface Command {
  readonly code: number;
  readonly output: string;
}

/** One command of walpost, which reads walpost.yaml of this folder. */
function walpost(...args: string[]): Promise<Command> {
  const options = { cwd: import.meta.dirname, env: { ...process.env, NO_COLOR: '1' } };
  return new Promise((resolve) => {
    execFile(process.execPath, [WALPOST, ...args], options, (error, stdout, stderr) =>
      resolve({ code: error ? Number(error.code ?? 1) : 0, output: stdout || stderr }),
    );
  });
}

async function passes(...args: string[]): Promise<string> {
  const { code, output } = await walpost(...args);
  expectThat(code === 0, output);
  return output.trim().split('\n').at(-1)?.trim() ?? '';
}

async function page(url: string): Promise<string> {
  const answer = await fetch(url);
  expectThat(answer.status === 200, `${answer.status} ${await answer.text()}`);
  return `200 from ${new URL(url).pathname}`;
}

async function setting(name: string, wanted: string): Promise<string> {
  const [, value = ''] = await application.redis.config('GET', name);
  expectThat(value === wanted, `${name} is ${value}, and must be ${wanted}`);
  return `${name} ${value}`;
}

async function privileges(): Promise<string> {
  const { rows } = await application.pool.query<{ owner: boolean; beyond: boolean; publisher: boolean }>(
    `SELECT pg_has_role(n.nspowner, 'USAGE') AS owner, r.rolsuper OR r.rolbypassrls AS beyond,
            pg_has_role('walpost_publisher', 'USAGE') AS publisher
       FROM pg_namespace AS n, pg_roles AS r WHERE n.nspname = 'walpost' AND r.rolname = current_user`,
  );
  const [row] = rows;
  if (!row) throw new Error('there is no schema walpost');
  expectThat(row.publisher, 'the login is no member of walpost_publisher');
  expectThat(!row.owner && !row.beyond, 'row-level security does not hold for the login');
  return 'publishes, owns nothing, and row-level security holds for it';
}

async function stored(): Promise<string> {
  const sums = await Promise.all(
    ['walpost_dead_letters', 'walpost_parked_events'].map((name) =>
      application.metric(application.env['WALPOST_PORT'], name),
    ),
  );
  expectThat(
    sums.every((sum) => sum === 0),
    `${sums[0]} dead letters, ${sums[1]} parked events`,
  );
  return 'no dead letters, nothing parked';
}

async function course(): Promise<string> {
  const begun = performance.now();
  const { body } = await application.post(organization, 'verify', { title: 'Verify' });
  await until('the course is ready', async () => {
    const sql = `SELECT FROM app.courses WHERE id = $1 AND state = 'ready'`;
    return (await application.rows(organization, sql, [body['course_id']])).length === 1 || undefined;
  });
  return `from the request to the finished work in ${Math.round(performance.now() - begun)} ms`;
}

async function workers(): Promise<string> {
  const counts = await Promise.all([...application.queues.values()].map((queue) => queue.getWorkersCount()));
  expectThat(
    counts.every((count) => count > 0),
    `workers: ${QUEUES.map((name, n) => `${name} ${counts[n]}`).join(', ')}`,
  );
  return QUEUES.map((name, n) => `${name} ${counts[n]}`).join(', ');
}

async function leads(): Promise<string> {
  const leader = await application.metric(application.env['WALPOST_PORT'], 'walpost_leader');
  expectThat(leader === 1, `walpost_leader is ${leader}`);
  return 'walpost_leader 1';
}

const checks: Record<string, Check> = {
  'configuration of walpost': () => passes('config', 'check'),
  'server, schema, login, slot, rights and sinks': async () => {
    const { code, output } = await walpost('doctor', '--probe');
    const isFatal = code !== 0 && /^critical/m.test(output);
    expectThat(!isFatal && code !== 2, output);
    return output.trim().split('\n').at(-1) ?? '';
  },
  'walpost is alive': () => page(`${application.walpost}/healthz`),
  'walpost streams': () => page(`${application.walpost}/readyz`),
  'metrics of walpost': leads,
  'no alert of walpost': () => passes('status', '--check'),
  'events come through the slot': () => passes('verify', '--count', '20', '--rate', '100'),
  'nothing was given up': stored,
  'login of the application': privileges,
  'Redis evicts no job': () => setting('maxmemory-policy', 'noeviction'),
  'Redis keeps jobs over a restart': () => setting('appendonly', 'yes'),
  'workers are connected': workers,
  'the application is well': () => page(`${application.api}/health`),
  'metrics of the workers': () => page(`http://127.0.0.1:${application.env['WORKER_PORT']}/metrics`),
  'a course is made': course,
};
await runChecks('The deployment', checks);
