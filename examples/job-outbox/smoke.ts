/** `npm run smoke`: seven smoke tests of the example that runs. */
import { randomUUID } from 'node:crypto';
import { Application, until } from './application.ts';
import { type Check, expectThat, runChecks } from '../support/checklist.ts';
import { QUEUES } from './workers.ts';

await using application = new Application();
const organization = randomUUID();
const title = 'Smoke signals';
const firstCourse = async (): Promise<string> => {
  const { body } = await application.post(organization, 'smoke', { title });
  return String(body['course_id']);
};
const count = async (sql: string, values: unknown[] = []): Promise<number> => {
  const [row] = await application.rows<{ n: number }>(organization, `SELECT count(*)::int AS n ${sql}`, values);
  return row?.n ?? NaN;
};
const health = async (url: string): Promise<number> => (await fetch(url)).status;

const checks: Record<string, Check> = {
  'health pages answer': async () => {
    const statuses = await Promise.all([
      health(`${application.api}/health`),
      health(`${application.walpost}/healthz`),
      health(`${application.walpost}/readyz`),
    ]);
    expectThat(
      statuses.every((status) => status === 200),
      `statuses ${statuses.join(', ')}`,
    );
    return 'application, walpost alive, walpost streams';
  },
  'one call writes state, audit row and two jobs': async () => {
    const { status } = await application.post(organization, 'smoke', { title });
    const [courses, audit] = [await count('FROM app.courses'), await count('FROM app.audit')];
    expectThat(
      status === 201 && courses === 1 && audit === 1,
      `status ${status}, ${courses} courses, ${audit} audit rows`,
    );
    return 'course, audit row';
  },
  'the same key returns the first result': async () => {
    const [first, again] = [await firstCourse(), await application.post(organization, 'smoke', { title })];
    expectThat(again.status === 200 && again.body['course_id'] === first, JSON.stringify(again));
    expectThat((await count('FROM app.courses')) === 1, 'a second course was written');
    return 'nothing was written';
  },
  'the same key with another request is refused': async () => {
    const { status } = await application.post(organization, 'smoke', { title: 'Another title' });
    expectThat(status === 409, `status ${status}`);
    return 'status 409';
  },
  'a call that fails leaves nothing': async () => {
    const before = await count('FROM app.audit');
    await application
      .rows(organization, 'SELECT 1 / (length(app.start_course($1) ->> $2) - 36)', [
        { organization_id: organization, title },
        'course_id',
      ])
      .then(
        () => expectThat(false, 'it did not fail'),
        () => undefined,
      );
    expectThat((await count('FROM app.audit')) === before, 'an audit row was left');
    return 'no course, no audit row, no job';
  },
  'each queue has the job once': async () => {
    const course = await firstCourse();
    for (const queue of QUEUES) {
      const jobs = await until(`a job in ${queue}`, async () => {
        const found = await application.jobsOf(queue, course);
        return found.length > 0 ? found : undefined;
      });
      expectThat(jobs.length === 1, `${jobs.length} jobs in ${queue}`);
    }
    return QUEUES.join(', ');
  },
  'the workers finish the course': async () => {
    const course = await firstCourse();
    const work = await until('the course is ready', async () => {
      const [row] = await application.rows<{ state: string }>(
        organization,
        'SELECT state FROM app.courses WHERE id = $1',
        [course],
      );
      return row?.state === 'ready' ? count('FROM app.work WHERE course_id = $1', [course]) : undefined;
    });
    expectThat(work === 2, `${work} pieces of work`);
    return 'each part was made once';
  },
};
await runChecks('Seven smoke tests', checks);
