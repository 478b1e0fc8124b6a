/** Payloads are checked with schemas of any library that has Standard Schema; errors say what kind of value was there. */
import { randomUUID } from 'node:crypto';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { z } from 'zod';
import { createPublisher, type InvalidPayloadError, type StandardSchema } from '../../packages/client/src/index.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { installedPackages } from '../support/installed-packages.ts';

/** What is used of valibot and arktype, which are not among the packages of this repository. */
interface Valibot {
  readonly object: (of: object) => StandardSchema;
  readonly array: (of: StandardSchema) => StandardSchema;
  readonly pipe: (...steps: unknown[]) => StandardSchema;
  readonly string: () => StandardSchema;
  readonly number: () => StandardSchema;
  readonly email: () => unknown;
}

let schemas: Record<string, StandardSchema>;
let database: TestDatabase;
beforeAll(async () => {
  const require = createRequire(join(await installedPackages('edge'), 'package.json'));
  const v = require('valibot') as Valibot;
  const { type } = (await import(require.resolve('arktype'))) as { type: (of: object) => StandardSchema };
  database = await createTestDatabase();
  schemas = {
    zod: z.object({ to: z.email(), items: z.array(z.object({ n: z.number() })) }),
    valibot: v.object({ to: v.pipe(v.string(), v.email()), items: v.array(v.object({ n: v.number() })) }),
    arktype: type({ to: 'string.email', items: [{ n: 'number' }, '[]'] }),
  };
}, 600_000);
afterAll(() => database[Symbol.asyncDispose]());

const SECRET = 'hunter2';

test.each(['zod', 'valibot', 'arktype'])('%s', async (library) => {
  const tx = await database.client();
  await tx.query('BEGIN');
  const publisher = createPublisher({ mail: schemas[library] as StandardSchema });
  const publish = (payload: unknown) =>
    publisher.publish(tx, { organizationId: randomUUID(), eventType: 'mail', payload });
  await publish({ to: 'a@example.com', items: [{ n: 1 }] });
  const error = await publish({ to: SECRET, items: [{ n: 1 }, { n: SECRET }] }).then(
    () => undefined,
    (thrown: unknown) => thrown as InvalidPayloadError,
  );
  expect(error).toMatchObject({ name: 'InvalidPayloadError' });
  expect(error?.problems.toSorted((a, b) => b.path.localeCompare(a.path))).toEqual([
    { path: 'to', expected: expect.stringMatching(/email/i) as string, got: 'a string of 7 characters' },
    { path: 'items[1].n', expected: expect.stringMatching(/number/) as string, got: 'a string of 7 characters' },
  ]);
  expect(error?.message).toMatch(/^walpost: the payload of "mail" does not fit its schema: .*to: expected /);
  expect(JSON.stringify(error) + error?.message + error?.stack).not.toContain(SECRET);
  // Nothing was sent, so the transaction goes on.
  await tx.query('COMMIT');
  expect(await database.query('SELECT payload FROM walpost.outbox ORDER BY seq DESC LIMIT 1')).toEqual([
    { payload: { to: 'a@example.com', items: [{ n: 1 }] } },
  ]);
});
