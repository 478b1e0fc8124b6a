/** @walpost/client in transactions of each database library, with the rights of a publisher. */
import { afterAll, beforeAll, test } from 'vitest';
import { LibraryScripts } from '../support/library-run.ts';
import { expectPublished, preparePublishing } from '../support/published.ts';

let scripts: LibraryScripts;
beforeAll(async () => {
  scripts = await LibraryScripts.prepare('orms');
  await preparePublishing(scripts);
  await scripts.generatePrismaClient();
}, 600_000);
afterAll(() => scripts[Symbol.asyncDispose]());

test.each(['pg', 'postgres', 'prisma', 'drizzle', 'drizzle-postgres', 'knex', 'typeorm', 'sequelize'])(
  '%s',
  { timeout: 120_000 },
  (library) => expectPublished(scripts, library),
);
