/** Database libraries that need Node 22, as tests/orms has the others. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { LibraryScripts } from '../support/library-run.ts';
import { expectPublished, preparePublishing } from '../support/published.ts';

const tooOld = Number.parseInt(process.versions.node, 10) < 22;

describe.skipIf(tooOld)('libraries that need Node 22', () => {
  let scripts: LibraryScripts;
  beforeAll(async () => {
    scripts = await LibraryScripts.prepare('node22');
    await preparePublishing(scripts);
  }, 600_000);
  afterAll(() => scripts[Symbol.asyncDispose]());

  test.each(['kysely', 'mikro-orm'])('%s', { timeout: 120_000 }, async (library) => {
    const { id, organization, created, read, again } = await scripts.run(library);
    expect(created['eventId'] ?? created['event_id']).toBe(id);
    expect({ read, again }).toEqual({ read: library, again: 0 });
    expect(
      await scripts.database.query('SELECT organization_id, event_type FROM walpost.outbox WHERE event_id = $1', [id]),
    ).toEqual([{ organization_id: organization, event_type: library }]);
  });

  test('kysely, with @walpost/client', { timeout: 120_000 }, () => expectPublished(scripts, 'kysely'));
});
