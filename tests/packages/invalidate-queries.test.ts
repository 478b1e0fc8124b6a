/** What events make of the queries of a real QueryClient. */
import { QueryClient, QueryObserver } from '@tanstack/query-core';
import { afterEach, beforeEach, expect, test } from 'vitest';
import {
  type ChannelEvent,
  invalidateQueries,
  type InvalidateQueriesOptions,
  type Subscription,
} from '../../packages/consumer/src/subscribe/index.ts';
import { ManualClock } from '../support/manual-clock.ts';

interface Events {
  readonly 'job.done': { readonly n: number };
  readonly 'mail.sent': { readonly to: string };
}

let client: QueryClient;
let clock: ManualClock;
let stops: (() => void)[] = [];
beforeEach(() => {
  client = new QueryClient({ defaultOptions: { queries: { retry: false, staleTime: Infinity } } });
  clock = new ManualClock();
});
afterEach(() => {
  for (const stop of stops) stop();
  stops = [];
  client.clear();
});

/** A query that somebody looks at; gives back how often it was asked for, and how to answer. */
async function watched(queryKey: readonly unknown[]) {
  const answers: (() => void)[] = [];
  const asked = { count: 0, answer: (): void => answers.splice(0).forEach((answer) => answer()) };
  const queryFn = () => {
    asked.count += 1;
    return new Promise<number>((resolve) => answers.push(() => resolve(asked.count)));
  };
  const observer = new QueryObserver(client, { queryKey, queryFn });
  stops.push(observer.subscribe(() => undefined));
  asked.answer();
  await clock.advance(0);
  return asked;
}

function subscribed(options: Partial<InvalidateQueriesOptions<Events>>): Required<
  Pick<Subscription<Events>, 'onEntity' | 'onReset'>
> & {
  event(type: keyof Events, entity?: string): void;
} {
  const { events, onEntity, onReset } = invalidateQueries<Events>(client, { clock, window: 100, ...options });
  const take = events?.['*'] as (event: ChannelEvent) => void;
  return {
    event: (event_type, entity_id = '1') =>
      take({ event_id: 'e', event_type, topic: 't', entity_type: 'job', entity_id, payload: {} }),
    onEntity: onEntity ?? (() => undefined),
    onReset: onReset ?? (() => undefined),
  };
}

test('5,000 events of one entity are one fetch of its queries, and none of others', async () => {
  const [list, one, other, mails] = [
    await watched(['jobs']),
    await watched(['job', '1']),
    await watched(['job', '2']),
    await watched(['mails']),
  ];
  const { event } = subscribed({
    events: {
      'job.*': [['jobs']],
      'job.done': ({ entity_id, payload }) => [['job', entity_id], ...(payload?.n === 0 ? [['never']] : [])],
      'mail.sent': () => [['mails']],
    },
  });
  for (let n = 0; n < 5_000; n += 1) event('job.done');
  await clock.advance(99);
  expect(list.count).toBe(1);
  await clock.advance(1);
  expect([list, one, other, mails].map(({ count }) => count)).toEqual([2, 2, 1, 1]);
});

test('changes that come while a query is fetched wait for its end, and are not lost', async () => {
  const jobs = await watched(['jobs']);
  const { event } = subscribed({ events: { 'job.done': [['jobs']] } });
  event('job.done');
  await clock.advance(100);
  for (let n = 0; n < 10; n += 1) {
    event('job.done');
    await clock.advance(100);
  }
  expect(jobs.count).toBe(2);
  jobs.answer();
  await clock.advance(0);
  await clock.advance(100);
  expect([jobs.count, client.getQueryData(['jobs'])]).toEqual([3, 2]);
  jobs.answer();
  await clock.advance(1_000);
  expect(jobs.count).toBe(3);
});

test('entities are looked up by their type, of events and of form: invalidate', async () => {
  const [one, two, none] = [await watched(['job', '1']), await watched(['job', '2']), await watched(['misc'])];
  const { event, onEntity } = subscribed({
    entities: {
      job: ({ entity_id }) => [['job', entity_id]],
      '*': ({ entity_type }) => (entity_type === null ? [['misc']] : []),
    },
  });
  event('job.done', '1');
  onEntity({ topic: 't', entity_type: 'job', entity_id: '2', event_id: 'e' });
  onEntity({ topic: 't', entity_type: 'other', entity_id: '2', event_id: 'e' });
  await clock.advance(100);
  expect([one, two, none].map(({ count }) => count)).toEqual([2, 2, 1]);
  onEntity({ topic: 't', entity_type: null, entity_id: null, event_id: 'e' });
  await clock.advance(100);
  expect([one, two, none].map(({ count }) => count)).toEqual([2, 2, 2]);
});

test('a reset reads everything anew, or what it is told to', async () => {
  const [jobs, mails] = [await watched(['jobs', 1]), await watched(['mails'])];
  subscribed({}).onReset();
  await clock.advance(100);
  expect([jobs.count, mails.count]).toEqual([2, 2]);
  jobs.answer();
  mails.answer();
  await clock.advance(0);
  subscribed({ reset: [['jobs']] }).onReset();
  await clock.advance(100);
  expect([jobs.count, mails.count]).toEqual([3, 2]);
});
