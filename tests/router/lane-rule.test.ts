import fc from 'fast-check';
import { expect, test } from 'vitest';
import { OWN_LANE } from '../../src/pipeline.ts';
import { LANE_RULES, laneOfEntity } from '../../src/router/lanes/lane-rule.ts';
import { event } from './harness.ts';

const { entity, organization, none } = LANE_RULES;
const about = (entityType: string | null, entityId: string | null) => event('x', '1', { entityType, entityId });

test('the name of an entity stays what it is: rows are parked under it', () => {
  expect(laneOfEntity({ entityType: 'booking', entityId: '42' })).toBe('88e79be81798901f');
});

test('with order: entity each entity has its lane, and an event of none the own lane of the organization', () => {
  const [lane] = entity.lanesFor(about('booking', '42'));
  expect(entity.lanesFor(about('booking', '42'))).toEqual([lane]);
  expect(entity.laneAgain(about('booking', '42'), OWN_LANE)).toBe(lane);
  const others = [about('booking', '43'), about('order', '42'), about(null, '42'), about('booking4', '2')];
  expect(new Set([lane, ...others.map((other) => entity.lanesFor(other)[0])]).size).toBe(5);
  for (const nobody of [about(null, null), about('booking', null)]) {
    expect(entity.lanesFor(nobody)).toEqual([OWN_LANE]);
    expect(entity.laneAgain(nobody, 'before')).toBe(OWN_LANE);
  }
});

test('two entities never share a lane, whatever their names are made of', () => {
  const name = fc.option(fc.string(), { nil: null });
  fc.assert(
    fc.property(fc.tuple(name, fc.string()), fc.tuple(name, fc.string()), (one, other) => {
      const isSame = one[0] === other[0] && one[1] === other[1];
      const [first, second] = [one, other].map(([entityType, entityId]) => laneOfEntity({ entityType, entityId }));
      expect(first === second).toBe(isSame);
      expect(first).toMatch(/^[0-9a-f]{16}$/);
    }),
  );
});

test.each([
  ['organization', organization],
  ['none', none],
])('with order: %s all events gather in the own lane, and share one array', (_, rule) => {
  const lanes = rule.lanesFor(about('booking', '42'));
  expect(lanes).toEqual([OWN_LANE]);
  expect(rule.lanesFor(about('order', '7'))).toBe(lanes);
  expect(rule.laneAgain(about('order', '7'), 'an earlier lane')).toBe(OWN_LANE);
});
