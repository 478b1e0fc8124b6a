/** Where an event is now, for each sink and each endpoint of a customer. */
import { expect, test } from 'vitest';
import { placeRows, placesOf } from '../../src/cli/event-places.ts';
import type { StoryStep } from '../../src/parking/event-story.ts';

const AT = '2026-11-20T14:00:03.000000Z';

function step(name: string, lane: string, given: Partial<StoryStep> = {}): StoryStep {
  const place = { at: AT, step: name, sink: 'hooks', lane, attempt: 1, reason: null, job: null, letter: null };
  return { ...place, ...given };
}
const created = step('created', '', { sink: null, lane: null });

test('each endpoint has a place of its own, also one of which nothing is in the log', () => {
  const steps = [
    created,
    step('unavailable', 'e1'),
    step('delivered', 'e2'),
    step('parked', 'e3'),
    step('rejected', 'e4'),
    step('dead', 'e4', { letter: '17' }),
  ];
  const asked = new Map([['hooks', ['e1', 'e2', 'e3', 'e4', 'e5']]]);
  const [place] = placesOf({ steps, settled: false }, ['hooks'], asked);
  expect(place).toMatchObject({ sink: 'hooks', state: 'dead', letter: '17' });
  expect(place?.lanes.map(({ lane, state }) => [lane, state])).toEqual([
    ['e1', 'failing'],
    ['e2', 'delivered'],
    ['e3', 'parked'],
    ['e4', 'dead'],
    ['e5', 'pending'],
  ]);
  expect(placeRows(place ? [place] : [])).toEqual([
    ['sink hooks', 'endpoint e1: failing: its last attempt was not accepted since 2026-11-20 14:00:03.000 UTC'],
    ['sink hooks', 'endpoint e2: delivered since 2026-11-20 14:00:03.000 UTC'],
    ['sink hooks', 'endpoint e3: parked since 2026-11-20 14:00:03.000 UTC'],
    ['sink hooks', 'endpoint e4: dead (dead letter 17) since 2026-11-20 14:00:03.000 UTC'],
    ['sink hooks', 'endpoint e5: pending: not tried yet'],
  ]);
});

test('one endpoint that accepted does not hide another that fails', () => {
  const steps = [created, step('unavailable', 'e1'), step('delivered', 'e2')];
  const asked = new Map([['hooks', ['e1', 'e2']]]);
  expect(placesOf({ steps, settled: false }, ['hooks'], asked)).toMatchObject([{ state: 'failing' }]);
  expect(placesOf({ steps, settled: true }, ['hooks'], asked)).toMatchObject([
    { state: 'settled', lanes: [{ state: 'settled' }, { state: 'delivered' }] },
  ]);
});

test('at other sinks an event has one place, whatever lanes it went through', () => {
  const steps = [created, step('failed', '', { sink: 'mail' }), step('delivered', 'alone', { sink: 'mail' })];
  expect(placesOf({ steps, settled: false }, ['mail', 'log'])).toEqual([
    { sink: 'mail', state: 'delivered', at: AT, letter: null, lanes: [] },
    { sink: 'log', state: 'pending', at: null, letter: null, lanes: [] },
  ]);
});

test('an event that no endpoint asked for is for nobody; where that cannot be known nothing is claimed', () => {
  const story = { steps: [created], settled: true };
  expect(placesOf(story, ['hooks'], new Map([['hooks', []]]))).toMatchObject([{ state: 'none', lanes: [] }]);
  expect(placesOf(story, ['hooks'], new Map([['hooks', null]]))).toMatchObject([{ state: 'settled', lanes: [] }]);
  expect(placesOf(story, [], new Map([['hooks', []]]))).toEqual([]);
});

test('what has left, and an endpoint lacks events of that time, is missed there; what is stored or was accepted is not', () => {
  const steps = [created, step('unavailable', 'e1'), step('delivered', 'e2'), step('parked', 'e3')];
  const asked = new Map([['hooks', ['e1', 'e2', 'e3', 'e4', 'e5']]]);
  const missed = new Set(['e1', 'e2', 'e3', 'e4']);
  const statesOf = (settled: boolean): unknown =>
    placesOf({ steps, settled, missed }, ['hooks'], asked)[0]?.lanes.map(({ state }) => state);
  expect(statesOf(true)).toEqual(['missed', 'delivered', 'parked', 'missed', 'settled']);
  expect(statesOf(false)).toEqual(['failing', 'delivered', 'parked', 'pending', 'pending']);
});
