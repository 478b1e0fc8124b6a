import { expect, test } from 'vitest';
import { Lane } from '../../src/router/lanes/lane.ts';
import { TurnQueue } from '../../src/router/lanes/turn-queue.ts';
import { OWN_LANE } from '../../src/pipeline.ts';

const ALL_FREE = 100;

/** Every lane in the order of its turn, as `organization` or `organization/lane`. */
function orderOf(lanes: readonly Lane[]): string[] {
  const queue = new TurnQueue(1);
  for (const lane of lanes) queue.add(lane);
  expect(queue.length).toBe(lanes.length);
  const names: string[] = [];
  for (let lane = queue.next(ALL_FREE); lane; lane = queue.next(ALL_FREE)) {
    names.push(lane.name === OWN_LANE ? lane.organizationId : `${lane.organizationId}/${lane.name}`);
  }
  expect(queue.length).toBe(0);
  return names;
}

const own = (organization: string): Lane => new Lane(organization, OWN_LANE);

test('an organization has one place, also where its own lane stood there before its others came', () => {
  const lanes = [own('a'), own('c'), new Lane('a', 'x'), new Lane('a', 'y'), own('b')];
  expect(orderOf(lanes)).toEqual(['a', 'c', 'b', 'a/x', 'a/y']);
});

test('lanes that may not take what is left count as standing there', () => {
  const queue = new TurnQueue(1);
  const [first, second] = [new Lane('a', 'x'), new Lane('a', 'y')];
  queue.add(first);
  queue.take(first);
  expect(queue.next(ALL_FREE)).toBe(first);
  queue.add(second);
  expect(queue.next(1)).toBeUndefined();
  queue.add(new Lane('a', 'z'));
  queue.add(own('b'));
  expect(queue.next(1)?.organizationId).toBe('b');
});

test('own lanes stand in the order in which they came', () => {
  expect(orderOf(['d', 'a', 'c', 'b'].map(own))).toEqual(['d', 'a', 'c', 'b']);
});
