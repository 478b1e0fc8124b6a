/** Turns are lent only where lanes have destinations of their own, only while lanes wait, and up to a bound. */
import { describe, expect, test } from 'vitest';
import { FairQueue } from '../../src/router/lanes/fair-queue.ts';
import { Lane } from '../../src/router/lanes/lane.ts';
import { ManualClock } from '../support/manual-clock.ts';

const AFTER = 100;
const isAllowed = (): boolean => true;
const lane = (organization: string, name = ''): Lane => new Lane(organization, name);

function slowLane(organization: string): Lane {
  const slow = lane(organization);
  slow.setSlow(true);
  return slow;
}

/** Every due lane that gets a turn, by its organization. */
function served(queue: FairQueue, sends = true): string[] {
  const names: string[] = [];
  for (let next = queue.next(); next; next = queue.next()) {
    names.push(next.organizationId);
    queue.take(next, { sends });
  }
  return names;
}

function addAll(queue: FairQueue, organizations: readonly string[]): void {
  for (const organization of organizations) queue.add(lane(organization));
}

const NAMES = ['a', 'b', 'c', 'd', 'e', 'f'];

describe('turns that last', () => {
  test('are lent to lanes that wait, the oldest first, and never more than the bound', async () => {
    const clock = new ManualClock();
    const queue = new FairQueue(2, { clock, isAllowed, after: AFTER, most: 3 });
    addAll(queue, NAMES);
    expect(served(queue)).toEqual(['a', 'b']);
    expect(queue.lendsAt).toBe(clock.now() + AFTER);
    await clock.advance(AFTER - 1);
    expect(served(queue)).toEqual([]);
    await clock.advance(1);
    expect(served(queue)).toEqual(['c', 'd']);
    await clock.advance(AFTER);
    expect(served(queue)).toEqual(['e']);
    expect(queue.inFlight).toBe(5);
    expect(queue.lendsAt).toBeUndefined(); // three are lent
    await clock.advance(10 * AFTER);
    expect(served(queue)).toEqual([]);
  });

  test('leave room for others when they end, lent or not', async () => {
    const clock = new ManualClock();
    const queue = new FairQueue(1, { clock, isAllowed, after: AFTER, most: 1 });
    const [first, second] = [lane('a'), lane('b')];
    const turn = queue.take(first, { sends: true });
    queue.add(second);
    await clock.advance(AFTER);
    const later = queue.next();
    expect(later).toBe(second);
    const other = queue.take(second, { sends: true });
    addAll(queue, ['c', 'd']);
    expect(served(queue)).toEqual([]);
    queue.giveBack(turn); // the bound of lent turns has room again, once the other has lasted
    expect(served(queue)).toEqual([]);
    await clock.advance(AFTER);
    expect(served(queue)).toEqual(['c']);
    queue.giveBack(other);
    expect(queue.inFlight).toBe(1);
    await clock.advance(AFTER);
    expect(served(queue)).toEqual(['d']);
  });

  test('count as before while nobody waits, when they read, and where destinations are shared', async () => {
    const clock = new ManualClock();
    const lending = { clock, isAllowed, after: AFTER, most: 9 };
    const queue = new FairQueue(1, lending);
    queue.take(lane('a'), { sends: true });
    await clock.advance(AFTER);
    expect([queue.next(), queue.lendsAt]).toEqual([undefined, undefined]);
    const reading = new FairQueue(1, lending);
    addAll(reading, ['a', 'b']);
    expect(served(reading, false)).toEqual(['a']);
    const shared = new FairQueue(1);
    addAll(shared, ['a', 'b']);
    expect(served(shared)).toEqual(['a']);
    await clock.advance(9 * AFTER);
    expect([served(reading), reading.lendsAt, served(shared), shared.lendsAt]).toEqual([[], undefined, [], undefined]);
  });

  test('free an organization of the last places, which its other lanes may not take', async () => {
    const clock = new ManualClock();
    const queue = new FairQueue(2, { clock, isAllowed, after: AFTER, most: 9 });
    queue.take(lane('a', 'one'), { sends: true });
    queue.add(lane('a', 'two'));
    expect(served(queue)).toEqual([]); // one turn is free, and it is left to others
    expect(queue.lendsAt).toBe(clock.now() + AFTER);
    await clock.advance(AFTER);
    expect(served(queue)).toEqual(['a']);
  });

  test('are not lent while it is not allowed, nor to lanes that are known to be slow', async () => {
    const clock = new ManualClock();
    let allowed = false;
    const queue = new FairQueue(16, { clock, after: AFTER, most: 9, isAllowed: () => allowed });
    addAll(
      queue,
      Array.from({ length: 17 }, (_, n) => `fast-${n}`),
    );
    expect(served(queue)).toHaveLength(16);
    await clock.advance(AFTER);
    expect(served(queue)).toEqual([]);
    allowed = true;
    expect(served(queue)).toEqual(['fast-16']);
    for (let n = 0; n < 5; n++) queue.add(slowLane(`slow-${n}`));
    await clock.advance(AFTER);
    expect([queue.lendsAt, queue.next()]).toEqual([undefined, undefined]);
  });

  test('leave no place to others where there is one turn only', () => {
    const clock = new ManualClock();
    const queue = new FairQueue(1, { clock, isAllowed, after: AFTER, most: 9 });
    const turn = queue.take(lane('a', 'one'), { sends: true });
    queue.add(lane('a', 'two'));
    expect(served(queue)).toEqual([]);
    expect(queue.lendsAt).toBe(clock.now() + AFTER);
    queue.giveBack(turn);
    expect(served(queue)).toEqual(['a']);
  });
});
