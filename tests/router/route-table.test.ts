import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { RouteConfig } from '../../src/config/schema.ts';
import type { Event } from '../../src/event.ts';
import { AnswerMemory } from '../../src/router/answer-memory.ts';
import { RouteTable } from '../../src/router/route-table.ts';
import { sampleEvent } from '../support/sample-event.ts';
import { runs } from '../support/fuzz.ts';

const SINKS = ['internal', 'partner', 'third'];
/** What has stood for null or for a border between fields, here or elsewhere, and what looks like a length. */
const LETTERS = ['\u0000', '\u0001', '\u0002', '-', ':', '1', ',', '"', 'é', '*', 'a'];

/** Few letters a run, so that fields often agree and keys that could be mixed up meet. */
const scene = fc.subarray(LETTERS, { minLength: 1, maxLength: 2 }).chain((letters) => {
  const text = fc.string({ unit: fc.constantFrom(...letters), maxLength: 2 });
  const pattern = fc.oneof(fc.constant('*'), text);
  const event = fc
    .record({
      topic: text,
      eventType: text,
      target: fc.option(text),
      entityType: fc.option(text),
      organizationId: text,
    })
    .map((fields) => sampleEvent(fields));
  const route: fc.Arbitrary<RouteConfig> = fc.record({
    match: fc.record(
      { topic: pattern, event_type: pattern, target: pattern, entity_type: pattern, organization_id: pattern },
      { requiredKeys: [] },
    ),
    to: fc.subarray(SINKS, { minLength: 1 }),
  });
  return fc.record({
    routes: fc.array(route, { minLength: 1, maxLength: 4 }),
    events: fc.array(event, { maxLength: 40 }),
  });
});

describe('the cached answer is the right one', () => {
  test('for any routes, whatever the fields hold', () => {
    fc.assert(
      fc.property(scene, ({ routes, events }) => {
        const table = new RouteTable(routes, SINKS);
        for (const each of [...events, ...events]) {
          expect(table.sinksFor(each)).toEqual(new RouteTable(routes, SINKS).match(each));
        }
      }),
      runs(1_000),
    );
  });

  test('no text passes for a field that is null', () => {
    const routes = [
      { match: { topic: '*' }, to: ['internal'] },
      { match: { target: '*' }, to: ['partner'] },
    ];
    for (const target of ['\u0001', '\u0000', '-', '', 'null', '0:']) {
      const table = new RouteTable(routes, SINKS);
      expect(table.sinksFor(sampleEvent({ target }))).toEqual([0, 1]);
      expect(table.sinksFor(sampleEvent({ target: null }))).toEqual([0]);
    }
  });

  test.each(['\u0000', '1:', '-'])('a field that holds %j does not run into the next one', (border) => {
    const routes = [{ match: { topic: 'a', entity_type: '*b' }, to: ['partner'] }];
    const table = new RouteTable(routes, SINKS);
    const both = { topic: `a${border}`, entityType: 'b' };
    expect(table.sinksFor(sampleEvent(both))).toEqual([]);
    expect(table.sinksFor(sampleEvent({ topic: 'a', entityType: `${border}b` }))).toEqual([1]);
  });
});

describe('the memory of answers', () => {
  const table = (): RouteTable =>
    new RouteTable([{ match: { event_type: '*.*.*.*.*.created' }, to: ['third'] }], SINKS);
  const typed = (eventType: string): Event => sampleEvent({ eventType });

  test('100,000 types that come once each do not push out one that comes again and again', () => {
    const memory = new AnswerMemory<object>();
    const answer = {};
    memory.set('often', answer);
    for (let n = 0; n < 100_000; n++) {
      memory.set(`once ${n}`, {});
      if (n % 1_000 === 0) expect(memory.get('often')).toBe(answer);
    }
    expect(memory.size.entries).toBeLessThanOrEqual(10_000);
  });

  test('long keys are bounded by what they hold together', () => {
    const memory = new AnswerMemory<object>();
    for (let n = 0; n < 10_000; n++) memory.set(`${n} ${'x'.repeat(1_000)}`, {});
    expect(memory.size.characters).toBeLessThanOrEqual(2_000_000);
  });

  test('a long field is matched and not remembered', () => {
    const routes = table();
    const long = typed(`${'.'.repeat(1_000_000)}.created`);
    expect(routes.sinksFor(long)).toEqual([2]);
    expect(routes.sinksFor(long)).not.toBe(routes.sinksFor(long));
    expect(routes.sinksFor(typed('a.b.c.d.e.created'))).toBe(routes.sinksFor(typed('a.b.c.d.e.created')));
  });

  test('a thousand types of 255 dots delay nobody by 50 ms', () => {
    const routes = table();
    const events = Array.from({ length: 1_000 }, (_, n) => typed(`${n}${'.'.repeat(255)}`));
    const { user } = process.cpuUsage(); // other processes must not count
    for (const each of events) routes.sinksFor(each);
    expect((process.cpuUsage().user - user) / 1000).toBeLessThan(50);
  });
});

test('no wildcard takes an event of walpost itself; a pattern that begins with its prefix does', () => {
  const routes = [
    { match: { topic: '*' }, to: ['internal'] },
    { match: { event_type: 'walpost.endpoint.*' }, to: ['partner'] },
    { match: { target: 'x', event_type: 'w*' }, to: ['third'] },
  ];
  const table = new RouteTable(routes, SINKS);
  const of = (topic: string, eventType: string) => table.sinksFor(sampleEvent({ topic, eventType, target: 'x' }));
  expect(of('default', 'walpost')).toEqual([0, 2]);
  expect(of('default', 'walpost.endpoint.disabled')).toEqual([1]);
  expect(of('walpost.endpoint', 'walpost.endpoint.disabled')).toEqual([1]);
  expect(of('walpost.endpoint', 'job')).toEqual([]);
  expect(of('default', 'walpost.verify')).toEqual([]);
  expect(of('default', 'job')).toEqual([0]);
});
