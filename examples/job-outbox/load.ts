/** `npm run load`: 100 concurrent requests with one key, then 100 with a key each. */
import { randomUUID } from 'node:crypto';
import { Application, until } from './application.ts';
import { type Check, expectThat, runChecks } from '../support/checklist.ts';
import { QUEUES } from './workers.ts';

const REQUESTS = 100;

await using application = new Application();
const organization = randomUUID();

/** All at once; the ids of their courses, and a sentence about the time. */
async function burst(keyOf: (n: number) => string): Promise<{ courses: string[]; times: string }> {
  const took: number[] = [];
  const courses = await Promise.all(
    Array.from({ length: REQUESTS }, async (_, n) => {
      const begun = performance.now();
      const { status, body } = await application.post(organization, keyOf(n), { title: 'Load' });
      took.push(performance.now() - begun);
      expectThat(status < 300, `status ${status}`);
      return String(body['course_id']);
    }),
  );
  const sorted = took.toSorted((one, two) => one - two);
  const at = (share: number): string => `${Math.round(sorted[Math.floor(share * (REQUESTS - 1))] ?? NaN)} ms`;
  return { courses, times: `p50 ${at(0.5)}, p95 ${at(0.95)}` };
}

const counts = async (courses: readonly string[]): Promise<Record<string, number>> => {
  const [row] = await application.rows<Record<string, number>>(
    organization,
    `SELECT (SELECT count(*)::int FROM app.courses WHERE id = ANY ($1)) AS courses,
            (SELECT count(*)::int FROM app.courses WHERE id = ANY ($1) AND state = 'ready') AS ready,
            (SELECT count(*)::int FROM app.audit WHERE course_id = ANY ($1)) AS audit,
            (SELECT count(*)::int FROM app.work WHERE course_id = ANY ($1)) AS work`,
    [courses],
  );
  return row ?? {};
};

let all: string[] = [];
const checks: Record<string, Check> = {
  '100 requests with one key start one course': async () => {
    const { courses, times } = await burst(() => 'one key');
    const [row] = await application.rows<{ n: number }>(organization, 'SELECT count(*)::int AS n FROM app.courses');
    expectThat(new Set(courses).size === 1 && row?.n === 1, `${new Set(courses).size} answers, ${row?.n} courses`);
    all = courses.slice(0, 1);
    return times;
  },
  '100 requests with a key each start 100 courses': async () => {
    const { courses, times } = await burst((n) => `key ${n}`);
    expectThat(new Set(courses).size === REQUESTS, `${new Set(courses).size} courses`);
    all = [...all, ...courses];
    return times;
  },
  'each course has one audit row, and each of its two jobs took effect once': async () => {
    const begun = performance.now();
    await until('all courses are ready', async () => ((await counts(all))['ready'] === all.length ? true : undefined));
    const found = await counts(all);
    const sums = `${found['courses']} courses, ${found['audit']} audit rows, ${found['work']} pieces of work`;
    const isRight = found['courses'] === all.length && found['audit'] === all.length;
    expectThat(isRight && found['work'] === all.length * QUEUES.length, sums);
    return `${sums}; ready ${Math.round(performance.now() - begun)} ms after the last answer`;
  },
};
await runChecks(`${REQUESTS} concurrent requests`, checks);
