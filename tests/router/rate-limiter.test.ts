import { describe, expect, test } from 'vitest';
import { RateLimiter } from '../../src/router/timing/rate-limiter.ts';
import { Harness } from './harness.ts';

const numbers = (count: number): string[] => Array.from({ length: count }, (_, index) => `${index}`);
const sentBefore = (harness: Harness, at: number, organization?: string): number =>
  harness.sent
    .filter((sent) => sent.at < at && (organization === undefined || sent.organization === organization))
    .reduce((sum, { events }) => sum + events.length, 0);

describe('the numbers', () => {
  test('a second of burst, then the rate, and never more than was allowed', () => {
    let now = 0;
    const limiter = new RateLimiter({ sink: 10, organization: undefined }, () => now);
    expect(limiter.allowed('x')).toBe(10);
    limiter.spend('x', 10);
    expect([limiter.allowed('x'), limiter.sinkWait]).toEqual([0, 100]);
    now = 100;
    expect([limiter.allowed('x'), limiter.sinkWait]).toEqual([1, 0]);
    now = 100_000;
    expect(limiter.allowed('x')).toBe(10);
  });

  test('less than one a second still lets one pass', () => {
    let now = 0;
    const limiter = new RateLimiter({ sink: undefined, organization: 0.5 }, () => now);
    expect(limiter.allowed('x')).toBe(1);
    limiter.spend('x', 1);
    expect(limiter.laneWait('x')).toBe(2000);
    expect(limiter.allowed('y')).toBe(1);
    now = 2000;
    expect(limiter.laneWait('x')).toBe(0);
  });

  test('organizations that have been quiet are forgotten', () => {
    let now = 0;
    const limiter = new RateLimiter({ sink: undefined, organization: 1 }, () => now);
    for (let i = 0; i < 50_000; i += 1) {
      limiter.spend(`${i}`, 1);
      now += 10;
    }
    expect(limiter.size).toBeLessThan(2_100);
  });
});

const limited = (limits: object): Record<string, unknown> => ({
  sinks: { a: { type: 'discard', ...limits } },
  delivery: { park_after: '1h' },
});

describe('a sink with a rate', () => {
  test('gets no more, in order, and every organization its turn', async () => {
    const harness = new Harness({ config: limited({ rate: '20/s' }) });
    for (const id of ['x', 'y', 'z']) harness.accept(id, ...numbers(100));
    await harness.clock.advance(8_000);
    for (const second of [1, 2, 4, 8]) expect(sentBefore(harness, second * 1000)).toBeLessThanOrEqual(20 + second * 20);
    expect(sentBefore(harness, 8_000)).toBeGreaterThan(150);
    for (const id of ['x', 'y', 'z']) expect(sentBefore(harness, 8_000, id)).toBeGreaterThan(45);
    await harness.clock.advance(8_000);
    expect(harness.settled).toBe(300);
    const ofX = harness.sent.filter((sent) => sent.organization === 'x').flatMap((sent) => sent.events);
    expect(ofX).toEqual(numbers(100));
    expect(harness.lot.rows).toEqual([]);
  });

  test('two organizations share it, though each waits for the other', async () => {
    const harness = new Harness({ config: limited({ rate: '1/s' }) });
    harness.accept('x', ...numbers(10));
    harness.accept('y', ...numbers(10));
    await harness.clock.advance(10_500);
    expect(Math.abs(sentBefore(harness, 10_500, 'x') - sentBefore(harness, 10_500, 'y'))).toBeLessThanOrEqual(1);
  });

  test('organization_rate slows that organization alone, also over many windows', async () => {
    const harness = new Harness({ config: limited({ organization_rate: '10/s' }) });
    for (let i = 0; i < 100; i += 1) {
      harness.accept('flood', ...numbers(10).map((n) => `${i}-${n}`));
      harness.accept('calm', `${i}`);
      await harness.clock.advance(300);
    }
    expect(sentBefore(harness, 30_000, 'calm')).toBeGreaterThanOrEqual(99);
    expect(sentBefore(harness, 30_000, 'flood')).toBeLessThanOrEqual(310);
    expect(sentBefore(harness, 30_000, 'flood')).toBeGreaterThan(280);
  });

  test('what waits longer than park_after is parked, and still leaves in order at its rate', async () => {
    const harness = new Harness({
      config: { ...limited({ organization_rate: '10/s' }), delivery: { park_after: '10s' } },
    });
    harness.accept('x', ...numbers(300));
    await harness.clock.advance(12_000);
    expect(harness.settled).toBe(300);
    expect(harness.lot.rows.length).toBeGreaterThan(150);
    await harness.clock.advance(25_000);
    expect(harness.sent.flatMap((sent) => sent.events)).toEqual(numbers(300));
    expect(harness.lot.mostRowsRead).toBeLessThanOrEqual(10);
    expect(harness.sent.every((sent) => sent.attempt === 1)).toBe(true);
    expect(harness.letters).toEqual([]);
  });
});
