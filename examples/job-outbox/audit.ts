/**
 * `npm run audit`: compares what was committed with what the workers have done, for all organizations. It waits for jobs that
 * are on their way, and ends with exit code 1 when one is lost or took effect twice.
 */
import pg from 'pg';
import { lookUntil } from '../support/look-until.ts';

const PATIENCE_MS = 60_000;

const COMPARISON = `
  WITH jobs AS (SELECT event_id, entity_id FROM walpost.outbox WHERE event_type LIKE 'course.%')
  SELECT (SELECT count(*) FROM app.courses)::integer AS courses,
         (SELECT count(*) FROM jobs)::integer AS jobs,
         (SELECT count(*) FROM app.courses AS c WHERE (SELECT count(*) FROM app.audit AS a WHERE a.course_id = c.id) <> 1)::integer AS unaudited,
         (SELECT count(*) FROM jobs AS j WHERE NOT EXISTS (SELECT FROM app.work AS w WHERE w.event_id = j.event_id))::integer AS lost,
         (SELECT count(*) - count(DISTINCT event_id) FROM app.work)::integer AS twice,
         (SELECT count(*) FROM walpost.dead_letters)::integer AS dead`;

interface Outcome {
  readonly courses: number;
  readonly jobs: number;
  readonly unaudited: number;
  readonly lost: number;
  readonly twice: number;
  readonly dead: number;
}

const client = new pg.Client({ connectionString: process.env['OPERATOR_URL'] });
await client.connect();
const compare = async (): Promise<Outcome> => (await client.query<Outcome>(COMPARISON)).rows[0] as Outcome;
const outcome = await lookUntil(compare, ({ lost }) => lost === 0, PATIENCE_MS);
await client.end();
const { courses, jobs, unaudited, lost, twice, dead } = outcome;
console.log(
  `${courses} courses, ${jobs} jobs: ${lost} lost, ${twice} took effect twice, ${dead} dead letters, ${unaudited} courses without their one audit row`,
);
process.exitCode = lost + twice + dead + unaudited > 0 ? 1 : 0;
