/**
 * `npm run early`: can a worker read before the commit? Once with a job that the application puts into the queue itself, as
 * the original did, and once with walpost. Then what the checks of the workers are good for.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { Queue, Worker } from 'bullmq';
import { Application, until } from './application.ts';
import { type Check, expectThat, runChecks } from '../support/checklist.ts';
import { inOrganization } from '../support/in-organization.ts';
import { redisUrl } from './redis-connection.ts';
import { startCourse } from './start-course.ts';
import { QUEUES } from './workers.ts';

const ROUNDS = 20;
/** How long a transaction stays open behind its call. */
const COMMIT_AFTER_MS = 300;

await using application = new Application();
const organization = randomUUID();
const { pool } = application;

const isThere = async (courseId: string): Promise<boolean> =>
  (await application.rows(organization, 'SELECT FROM app.courses WHERE id = $1', [courseId])).length === 1;

/** The application adds the job while its transaction is open; returns how many workers found no course. */
async function withoutWalpost(): Promise<number> {
  const connection = { url: redisUrl() };
  const queue = new Queue(`early-${randomUUID()}`, { connection });
  let looks = 0;
  let early = 0;
  const worker = new Worker(
    queue.name,
    async (job) => {
      if (!(await isThere((job.data as { id: string }).id))) early += 1;
      looks += 1;
    },
    { connection },
  );
  for (let round = 0; round < ROUNDS; round += 1) {
    const id = randomUUID();
    await inOrganization(pool, organization, async (tx) => {
      const course = [id, organization];
      await tx.query(`INSERT INTO app.courses (id, organization_id, title) VALUES ($1, $2, 'Early')`, course);
      await tx.query(`INSERT INTO app.audit (course_id, organization_id, what) VALUES ($1, $2, 'started')`, course);
      await queue.add('early', { id });
      await until('the worker has looked', () => Promise.resolve(looks > round || undefined));
    });
  }
  await worker.close();
  await queue.obliterate({ force: true });
  await queue.close();
  return early;
}

/** The same with walpost; returns how many jobs were in a queue before their commit. */
async function withWalpost(): Promise<number> {
  let early = 0;
  const rounds = Array.from({ length: ROUNDS }, (_, round) =>
    startCourse(pool, { organizationId: organization, key: `early ${round}`, title: 'Early' }, async (courseId) => {
      await pause(COMMIT_AFTER_MS);
      for (const queue of QUEUES) early += (await application.jobsOf(queue, courseId)).length;
    }),
  );
  const courses = (await Promise.all(rounds)).map(({ courseId }) => courseId);
  await until('all courses are ready', async () => {
    const sql = `SELECT FROM app.courses WHERE id = ANY ($1) AND state = 'ready'`;
    return (await application.rows(organization, sql, [courses])).length === ROUNDS || undefined;
  });
  return early;
}

/** Jobs of which a listener or a worker has found no course. */
const missed = (): Promise<number> => application.metric(application.env['WORKER_PORT'], 'walpost_guard_missing_total');

await runChecks('A worker that reads before the commit', {
  'a job that the application adds itself': async () => {
    const early = await withoutWalpost();
    expectThat(early > 0, 'no worker was early: this machine shows nothing');
    return `${early} of ${ROUNDS} workers found no course`;
  },
  'the same job from walpost': async () => {
    const before = await missed();
    const early = await withWalpost();
    const missing = (await missed()) - before;
    expectThat(early === 0 && missing === 0, `${early} jobs were early, ${missing} found no course`);
    return `0 of ${ROUNDS * QUEUES.length} jobs were in a queue before the commit, and no worker missed a course`;
  },
  'a job whose course was lost, as by a restore of an older backup': async () => {
    const before = await missed();
    const course = randomUUID();
    const job = { course_id: course, title: 'Lost' };
    const publish = `SELECT walpost.publish($1, 'course.outline', $2, topic => 'outline', entity_id => $3)`;
    await application.rows(organization, publish, [organization, job, course]);
    await until('the outline is made', async () => {
      const sql = 'SELECT FROM app.courses WHERE id = $1 AND outline_at IS NOT NULL';
      return (await application.rows(organization, sql, [course])).length === 1 || undefined;
    });
    const missing = (await missed()) - before;
    const audit = `SELECT FROM app.audit WHERE course_id = $1 AND what LIKE 'repaired by %'`;
    const repairs = (await application.rows(organization, audit, [course])).length;
    expectThat(missing >= 1 && repairs === 1, `${missing} looks found no course, and ${repairs} repairs were written`);
    return 'the course was written from the job, and counted';
  },
} satisfies Record<string, Check>);
