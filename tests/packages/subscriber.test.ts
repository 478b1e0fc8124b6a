/** What a subscriber makes of the attempts of its source. The source is one of the test's own; the real ones have tests of their own. */
import { expect, test } from 'vitest';
import {
  type ChannelAttempt,
  type ChannelEnd,
  type ChannelSource,
  type ChannelStatus,
  createSubscriber,
  type SubscriberOptions,
  type Subscription,
} from '../../packages/consumer/src/subscribe/index.ts';
import { ManualClock, settleMicrotasks } from '../support/manual-clock.ts';

const A = '3f1c7c9e-8a44-4f0e-9d4b-0a6f3f9f000a';
const B = '3f1c7c9e-8a44-4f0e-9d4b-0a6f3f9f000b';

interface Attempt extends ChannelAttempt {
  end(end: ChannelEnd): Promise<void>;
  fail(error: Error): Promise<void>;
}

class Source implements ChannelSource {
  readonly attempts: Attempt[] = [];

  connect(attempt: ChannelAttempt): Promise<ChannelEnd> {
    return new Promise((resolve, reject) => {
      attempt.signal.addEventListener('abort', () => resolve({ why: 'aborted' }));
      this.attempts.push({
        ...attempt,
        end: (end) => (resolve(end), settleMicrotasks()),
        fail: (error) => (reject(error), settleMicrotasks()),
      });
    });
  }

  get last(): Attempt {
    const last = this.attempts.at(-1);
    if (last === undefined) throw new Error('no attempt');
    return last;
  }
}

function begin(options: Partial<SubscriberOptions> = {}) {
  const [clock, source] = [new ManualClock(), new Source()];
  const errors: unknown[] = [];
  const onError = (error: unknown): void => void errors.push(error);
  return {
    clock,
    source,
    errors,
    subscriber: createSubscriber({ source, clock, random: () => 0, onError, ...options }),
  };
}

/** Notes everything that a subscription is told, as short texts. */
function noting(): Subscription<Record<string, unknown>> & {
  readonly told: string[];
  readonly states: ChannelStatus[];
} {
  const told: string[] = [];
  const states: ChannelStatus[] = [];
  return {
    told,
    states,
    events: { '*': ({ event_id }) => told.push(event_id) },
    onEntity: ({ entity_id, event_id }) => told.push(`${entity_id} of ${event_id}`),
    onReset: () => told.push('reset'),
    onStatus: (status) => states.push(status),
  };
}

const event = (id: string, more: object = {}) => ({
  event_id: id,
  event_type: 'job.done',
  topic: 'default',
  entity_type: null,
  entity_id: null,
  ...more,
});

test('one connection an organization, however many listen; it ends a moment after the last has left', async () => {
  const { clock, source, subscriber } = begin();
  const [first, second, other] = [noting(), noting(), noting()];
  const leaveFirst = subscriber.subscribe(A, first);
  const leaveSecond = subscriber.subscribe(A, second);
  const leaveOther = subscriber.subscribe(B, other);
  expect(source.attempts.map(({ organizationId }) => organizationId)).toEqual([A, B]);
  const [attempt] = source.attempts;
  attempt?.observer.live();
  attempt?.observer.message(event('1'));
  leaveFirst();
  leaveFirst();
  attempt?.observer.message(event('2'));
  expect([first.told, second.told, other.told]).toEqual([['reset', '1'], ['reset', '1', '2'], []]);
  leaveSecond();
  await clock.advance(999);
  const back = subscriber.subscribe(A, noting());
  await clock.advance(5_000);
  expect(attempt?.signal.aborted).toBe(false);
  back();
  await clock.advance(1_000);
  expect(attempt?.signal.aborted).toBe(true);
  subscriber.subscribe(A, noting());
  expect(source.attempts).toHaveLength(3);
  leaveOther();
});

test('whoever comes when the channel is live is told so, and reads the state', async () => {
  const { source, subscriber } = begin();
  subscriber.subscribe(A, noting());
  source.last.observer.live();
  const late = noting();
  subscriber.subscribe(A, late);
  expect(late.told).toEqual([]);
  await settleMicrotasks();
  expect([late.told, late.states]).toEqual([['reset'], [{ state: 'live' }]]);
});

test('repeats are dropped in each form, and the oldest ids are forgotten', () => {
  const { source, subscriber, errors } = begin({ remember: 3 });
  const { told, ...subscription } = noting();
  subscriber.subscribe(A, subscription);
  const { observer } = source.last;
  const entity = (id: string, of: string) => ({ topic: 't', entity_type: 'job', entity_id: of, event_id: id });
  observer.message(event('1', { organization_id: A }));
  observer.message({ organization_id: A, events: [event('1'), event('2')] });
  observer.message({ organization_id: A.toUpperCase(), entities: [entity('2', 'x'), entity('3', 'y')] });
  expect(told).toEqual(['1', '2', 'y of 3']);
  observer.message(event('4'));
  observer.message(event('1'));
  expect(told.slice(3)).toEqual(['4', '1']);
  expect(errors).toEqual([]);
});

test('messages of another form or organization are dropped and told of, without their content', () => {
  const { source, subscriber, errors } = begin();
  const { told, ...subscription } = noting();
  subscriber.subscribe(A, subscription);
  const secret = 'a text that no error holds';
  const wrong = [
    secret,
    null,
    { event_id: secret },
    { events: [event('1'), secret] },
    { entities: [{ event_id: secret }] },
    event(secret, { entity_id: 7 }),
    event(secret, { organization_id: B }),
  ];
  for (const data of wrong) source.last.observer.message(data);
  expect([told, errors.length]).toEqual([[], wrong.length]);
  expect(errors.map(String).join()).not.toContain(secret);
  expect(String(errors.at(-1))).toContain('another organization');
});

test('every name that fits is called, in order; what one throws keeps no other from its event', () => {
  const { source, subscriber, errors } = begin();
  const called: string[] = [];
  subscriber.subscribe(A, {
    events: {
      'job.*': () => {
        throw new Error('of a callback');
      },
      'job.done': () => called.push('job.done'),
      '*.done': () => called.push('*.done'),
      job: () => called.push('job'),
    },
  });
  source.last.observer.message(event('1'));
  source.last.observer.message(event('2', { event_type: 'jobxdone' }));
  expect([called, errors]).toEqual([['job.done', '*.done'], [new Error('of a callback')]]);
});

test('waits double up to their bound, start anew after the channel was live, and are spread', async () => {
  const { clock, source, subscriber } = begin({ retry: { base: 1_000, most: 4_000 } });
  const { states, ...subscription } = noting();
  subscriber.subscribe(A, subscription);
  const waits = () => states.flatMap((status) => (status.state === 'waiting' ? [status.retryIn] : []));
  for (let n = 0; n < 4; n += 1) {
    await source.last.end({ why: 'cut' });
    await clock.advance(5_000);
  }
  expect(waits()).toEqual([500, 1_000, 2_000, 2_000]);
  source.last.observer.live();
  await source.last.end({ why: 'cut' });
  await clock.advance(499);
  expect(source.attempts).toHaveLength(5);
  await clock.advance(1);
  expect(source.attempts).toHaveLength(6);
  await source.last.end({ why: 'busy', retryAfter: 7_000 });
  expect(states.at(-1)).toEqual({ state: 'waiting', why: 'busy', retryIn: 7_000 });
  const spread = begin({ random: () => 1 });
  const other = noting();
  spread.subscriber.subscribe(A, other);
  await spread.source.last.end({ why: 'cut' });
  expect(other.states.at(-1)).toMatchObject({ retryIn: 1_000 });
});

test('a network that is back, or reconnect(), ends the wait', async () => {
  const { source, subscriber } = begin();
  subscriber.subscribe(A, noting());
  await source.last.end({ why: 'cut' });
  subscriber.reconnect();
  await settleMicrotasks();
  expect(source.attempts).toHaveLength(2);
});

test('the position of the last message is where the next attempt goes on', async () => {
  const { clock, source, subscriber } = begin();
  subscriber.subscribe(A, noting());
  const first = source.last;
  first.observer.position('7');
  await first.end({ why: 'cut' });
  first.observer.position('too late');
  await clock.advance(1_000);
  expect(source.attempts.map(({ lastId }) => lastId)).toEqual([undefined, '7']);
});

test('a reset is owed until the channel is live, over attempts that end before', async () => {
  const { clock, source, subscriber } = begin();
  const { told, ...subscription } = noting();
  subscriber.subscribe(A, subscription);
  await source.last.end({ why: 'cut before it was live' });
  await clock.advance(1_000);
  source.last.observer.live();
  expect(told).toEqual(['reset']);
  source.last.observer.reset();
  expect(told).toEqual(['reset']);
  await source.last.end({ why: 'cut before it was live again' });
  await clock.advance(1_000);
  source.last.observer.live();
  expect(told).toEqual(['reset', 'reset']);
  await source.last.end({ why: 'cut' });
  await clock.advance(1_000);
  source.last.observer.live();
  expect(told).toEqual(['reset', 'reset']);
});

test('a token that has expired is renewed at once, and one that is refused after a wait', async () => {
  const { clock, source, subscriber } = begin();
  subscriber.subscribe(A, noting());
  source.last.observer.live();
  await source.last.end({ why: 'expired', token: 'expired' });
  await clock.advance(0);
  expect(source.attempts.map(({ renewToken }) => renewToken)).toEqual([false, true]);
  await source.last.end({ why: 'expired', token: 'expired' });
  await clock.advance(0);
  expect(source.attempts).toHaveLength(2);
  await clock.advance(1_000);
  await source.last.end({ why: 'refused', token: 'refused' });
  await clock.advance(1_999);
  expect(source.attempts).toHaveLength(3);
  await clock.advance(1);
  expect(source.attempts.map(({ renewToken }) => renewToken)).toEqual([false, true, true, true]);
  source.last.observer.live();
  await source.last.end({ why: 'cut' });
  await clock.advance(1_000);
  expect(source.last.renewToken).toBe(false);
});

test('what the source throws is told, and the next attempt follows', async () => {
  const { clock, source, subscriber, errors } = begin();
  const { states, ...subscription } = noting();
  subscriber.subscribe(A, subscription);
  await source.last.fail(new Error('the token function'));
  expect(errors).toEqual([new Error('the token function')]);
  expect(states.at(-1)).toMatchObject({ state: 'waiting', why: 'the token function' });
  await clock.advance(1_000);
  expect(source.attempts).toHaveLength(2);
});

test('close() ends everything, and the subscriber can be used again', async () => {
  const { clock, source, subscriber } = begin();
  const { states, ...subscription } = noting();
  const leave = subscriber.subscribe(A, subscription);
  subscriber.subscribe(B, noting());
  await source.last.end({ why: 'cut' });
  subscriber.close();
  expect([source.attempts[0]?.signal.aborted, states.at(-1)]).toEqual([true, { state: 'closed' }]);
  await settleMicrotasks();
  expect(clock.pending).toBe(0);
  subscriber.subscribe(A, noting());
  leave();
  await clock.advance(10_000);
  subscriber.subscribe(A, noting());
  expect([source.attempts.length, source.last.signal.aborted]).toEqual([3, false]);
});
