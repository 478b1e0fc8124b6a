import fc from 'fast-check';
import { expect, test } from 'vitest';
import { LatencyHistogram } from '../../src/demo/latency-histogram.ts';

function histogramOf(values: readonly number[]): LatencyHistogram {
  const histogram = new LatencyHistogram();
  for (const value of values) histogram.record(value);
  return histogram;
}

test('any quantile is right within 2 percent', () => {
  const values = fc.array(fc.double({ min: 0.1, max: 500_000, noNaN: true }), { minLength: 1, maxLength: 200 });
  fc.assert(
    fc.property(values, fc.double({ min: 0.01, max: 1, noNaN: true }), (latencies, share) => {
      const exact = latencies.toSorted((a, b) => a - b)[Math.ceil(share * latencies.length) - 1] ?? 0;
      const found = histogramOf(latencies).quantile(share) ?? 0;
      expect(found).toBeGreaterThanOrEqual(exact * 0.999);
      expect(found).toBeLessThanOrEqual(exact * 1.021);
    }),
  );
});

test('the sum of two histograms is the histogram of both', () => {
  const [left, right] = [
    [1, 5, 9],
    [2, 600, 0],
  ];
  const sum = histogramOf(left ?? []);
  sum.add(histogramOf(right ?? []));
  const both = histogramOf([...(left ?? []), ...(right ?? [])]);
  expect(sum.total).toBe(6);
  for (const share of [0.1, 0.5, 0.99, 1]) expect(sum.quantile(share)).toBe(both.quantile(share));
});

test('an empty histogram has no quantile', () => {
  expect(new LatencyHistogram().quantile(0.5)).toBeUndefined();
});
