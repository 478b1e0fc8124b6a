import { expect, test } from 'vitest';
import { fencedDestination } from '../../src/leader/fenced-destination.ts';
import { DELIVERED, type Destination } from '../../src/pipeline.ts';

test('a destination is left alone once the lock is not held', async () => {
  const sent: string[] = [];
  const destination: Destination = {
    name: 'hook',
    concurrency: 3,
    closedFor: 0,
    deliver(batch) {
      sent.push(batch.organizationId);
      return Promise.resolve(DELIVERED);
    },
  };
  let held = true;
  const fenced = fencedDestination(destination, { isHeld: () => held });
  const { signal } = new AbortController();
  expect(fenced).toMatchObject({ name: 'hook', concurrency: 3, closedFor: 0 });
  expect(await fenced.deliver({ organizationId: 'a', events: [], attempt: 1 }, signal)).toBe(DELIVERED);
  held = false;
  expect(await fenced.deliver({ organizationId: 'b', events: [], attempt: 1 }, signal)).toMatchObject({
    kind: 'unavailable',
  });
  expect(sent).toEqual(['a']);
});
