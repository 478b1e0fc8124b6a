import { randomUUID } from 'node:crypto';
import { expect, test } from 'vitest';
import { createTestDatabase } from '../support/database.ts';

test('topics and types that begin with walpost. are refused wherever an event is written by a function', async () => {
  await using database = await createTestDatabase();
  await database.query('CREATE TABLE public.jobs (id int PRIMARY KEY, organization_id uuid NOT NULL)');
  const organization = randomUUID();
  const many = (event: object) => JSON.stringify([{ organization_id: organization, payload: {}, ...event }]);
  const calls: [string, unknown[]][] = [
    [`SELECT walpost.publish($1, 'walpost.verify', '{}')`, [organization]],
    [`SELECT walpost.publish($1, 'a', '{}', topic => 'walpost.x')`, [organization]],
    [`SELECT walpost.emit($1, 'walpost.verify', '{}')`, [organization]],
    [`SELECT walpost.emit($1, 'a', '{}', topic => 'walpost.x')`, [organization]],
    ['SELECT walpost.publish_many($1)', [many({ event_type: 'walpost.verify' })]],
    ['SELECT walpost.publish_many($1)', [many({ event_type: 'a', topic: 'walpost.x' })]],
    [`SELECT walpost.capture('public.jobs', 'job', event_prefix => 'walpost')`, []],
    [`SELECT walpost.capture('public.jobs', 'walpost.job')`, []],
    [`SELECT walpost.capture('public.jobs', 'job', topic => 'walpost.x')`, []],
  ];
  for (const [sql, values] of calls) {
    await expect(database.query(sql, values)).rejects.toMatchObject({
      code: '22023',
      message: expect.stringContaining('"walpost."'),
    });
  }
  await database.query(`SELECT walpost.publish($1, 'walposted', '{}', topic => 'walpost')`, [organization]);
});
