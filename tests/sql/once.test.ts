import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createPool } from '../../src/postgres/pool.ts';
import { newPool } from '../support/client.ts';
import { type TestDatabase, createTestDatabase } from '../support/database.ts';

const organization = randomUUID();
const ONCE = `SELECT walpost.once($1, $2, 'app.create_course(jsonb)', $3) AS answer`;

let database: TestDatabase;
beforeEach(async () => {
  database = await createTestDatabase();
  await database.query(`
    CREATE SCHEMA app;
    CREATE TABLE app.courses (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, organization_id uuid, title text);
    CREATE TABLE app.audit (what text);
    CREATE FUNCTION app.create_course(arguments jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
      DECLARE course app.courses;
      BEGIN
        INSERT INTO app.courses (organization_id, title)
        VALUES ((arguments ->> 'organization_id')::uuid, arguments ->> 'title') RETURNING * INTO course;
        INSERT INTO app.audit VALUES ('course created');
        PERFORM walpost.publish(course.organization_id, 'course.created', jsonb_build_object('course_id', course.id));
        PERFORM walpost.publish(course.organization_id, 'course.generate', jsonb_build_object('course_id', course.id), topic => 'jobs');
        IF arguments ->> 'title' = 'bad' THEN RAISE EXCEPTION 'no such title' USING ERRCODE = 'P0001'; END IF;
        RETURN jsonb_build_object('course_id', course.id);
      END $$`);
});
afterEach(() => database[Symbol.asyncDispose]());

const given = (title = 'Go'): string => JSON.stringify({ organization_id: organization, title });
const call = async (key: string, args = given()): Promise<unknown> =>
  (await database.query<{ answer: unknown }>(ONCE, [organization, key, args]))[0]?.answer;

async function counts(): Promise<unknown> {
  const rows = await database.query(`
    SELECT (SELECT count(*)::int FROM app.courses) AS courses, (SELECT count(*)::int FROM app.audit) AS audit,
           (SELECT count(*)::int FROM walpost.outbox) AS events`);
  return rows[0];
}

test('state, audit row and job events are written once, and the result comes again', async () => {
  const first = await call('k');
  expect(first).toEqual({ course_id: 1 });
  expect(await call('k')).toEqual(first);
  expect(await counts()).toEqual({ courses: 1, audit: 1, events: 2 });
  expect(await call('k2')).toEqual({ course_id: 2 });
});

test('a hundred at once: one runs, all get its answer', async () => {
  const pool = createPool(database.url, { applicationName: 'callers', max: 100 });
  const answers = await Promise.all(
    Array.from({ length: 100 }, () => pool.query<{ answer: string }>(ONCE, [organization, 'same', given()])),
  );
  await pool.end();
  expect(new Set(answers.map(({ rows }) => JSON.stringify(rows[0]?.answer))).size).toBe(1);
  expect(await counts()).toEqual({ courses: 1, audit: 1, events: 2 });
});

test.each(['REPEATABLE READ', 'SERIALIZABLE'])(
  'a hundred at once under %s, with the retry that is documented',
  async (level) => {
    const pool = newPool({ connectionString: database.url, max: 100 });
    let retries = 0;
    let begun = 0;
    let release = (): void => undefined;
    const allBegun = new Promise<void>((resolve) => (release = resolve));
    const attempt = async (): Promise<unknown> => {
      const client = await pool.connect();
      try {
        await client.query(`BEGIN ISOLATION LEVEL ${level}`);
        await client.query('SELECT count(*) FROM app.audit'); // the snapshot of the transaction
        begun += 1;
        if (begun === 100) release();
        await allBegun;
        const { rows } = await client.query<{ answer: unknown }>(ONCE, [organization, 'same', given()]);
        await client.query('COMMIT');
        return rows[0]?.answer;
      } catch (error) {
        await client.query('ROLLBACK');
        if ((error as { code?: string }).code !== '40001') throw error;
        retries += 1;
      } finally {
        client.release();
      }
      return attempt();
    };
    const answers = await Promise.all(Array.from({ length: 100 }, attempt));
    await pool.end();
    expect(new Set(answers.map((answer) => JSON.stringify(answer))).size).toBe(1);
    expect(retries).toBeGreaterThanOrEqual(99);
    expect(await counts()).toEqual({ courses: 1, audit: 1, events: 2 });
  },
);

test('a command that fails leaves nothing, and its key is free', async () => {
  await expect(call('k', given('bad'))).rejects.toMatchObject({ code: 'P0001' });
  expect(await counts()).toEqual({ courses: 0, audit: 0, events: 0 });
  expect(await call('k')).toEqual({ course_id: 2 });
});

test('the same key with other arguments, or another function, is a mistake', async () => {
  await call('k');
  await expect(call('k', given('Rust'))).rejects.toMatchObject({ code: '22023', hint: expect.any(String) as string });
  await database.query(`CREATE FUNCTION app.other(jsonb) RETURNS jsonb LANGUAGE sql RETURN '1'::jsonb`);
  await expect(
    database.query(`SELECT walpost.once($1, 'k', 'app.other(jsonb)', $2)`, [organization, given()]),
  ).rejects.toMatchObject({ code: '22023' });
});

test('keys belong to an organization', async () => {
  await call('k');
  await database.query(ONCE, [randomUUID(), 'k', given()]);
  expect(await counts()).toMatchObject({ courses: 2 });
});

test('the command sees the search_path of its caller, and null is an answer too', async () => {
  const client = await database.client();
  await client.query(`SET search_path = app`);
  await client.query(`CREATE FUNCTION app.quiet(jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
    BEGIN INSERT INTO audit VALUES (current_setting('search_path')); RETURN NULL; END $$`);
  for (const _ of [1, 2]) {
    const { rows } = await client.query(`SELECT walpost.once($1, 'k', 'quiet(jsonb)') AS answer`, [organization]);
    expect(rows).toEqual([{ answer: null }]);
  }
  expect(await database.query('SELECT what FROM app.audit')).toEqual([{ what: 'app' }]);
  expect((await client.query('SHOW search_path')).rows).toEqual([{ search_path: 'app' }]);
});

test.each([
  [`NULL, 'k', 'app.create_course(jsonb)'`, '22004'],
  [`gen_random_uuid(), NULL, 'app.create_course(jsonb)'`, '22004'],
  [`gen_random_uuid(), 'k', NULL`, '22004'],
  [`gen_random_uuid(), '', 'app.create_course(jsonb)'`, '22023'],
  [`gen_random_uuid(), 'k', 'pg_sleep(double precision)'`, '22023'],
])('refused: once(%s)', async (args, code) => {
  await expect(database.query(`SELECT walpost.once(${args})`)).rejects.toMatchObject({
    code,
    hint: expect.stringMatching(/\.$|…$/) as string,
  });
});

test('a command that calls itself with its own key is told so', async () => {
  await database.query(`CREATE FUNCTION app.again(a jsonb) RETURNS jsonb LANGUAGE sql AS
    $$ SELECT walpost.once('${organization}', 'k', 'app.again(jsonb)', a) $$`);
  await expect(
    database.query(`SELECT walpost.once($1, 'k', 'app.again(jsonb)')`, [organization]),
  ).rejects.toMatchObject({ code: '55006' });
});
