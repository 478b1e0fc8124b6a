import fc from 'fast-check';
import { Histogram as Reference, Registry } from 'prom-client';
import { expect, test } from 'vitest';
import { Histogram } from '../../src/observe/histogram.ts';

const NAME = 'walpost_seconds';
const HELP = 'Of something.';
const BOUNDS = [0.001, 0.25, 1, 60];

const label = fc.constantFrom('live', 'n8n', 'a "quoted" one', String.raw`back\slash`, 'two\nlines');
const value = fc.oneof(fc.constantFrom(...BOUNDS, 0), fc.double({ min: 0, max: 100, noNaN: true }));

test('the text is that of the library for every series of values', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.record({ sink: label, outcome: label, value })), async (observed) => {
      const registry = new Registry();
      const labelNames = ['sink', 'outcome'];
      const reference = new Reference({ name: NAME, help: HELP, buckets: BOUNDS, labelNames, registers: [registry] });
      const histogram = new Histogram({ name: NAME, help: HELP, buckets: BOUNDS });
      for (const { value: seconds, ...labels } of observed) {
        reference.observe(labels, seconds);
        histogram.of(labels).observe(seconds);
      }
      expect(histogram.text()).toBe(await registry.metrics());
    }),
  );
});

test('a histogram without labels counts from zero', async () => {
  const registry = new Registry();
  registry.registerMetric(new Reference({ name: NAME, help: HELP, buckets: BOUNDS, registers: [] }));
  const histogram = new Histogram({ name: NAME, help: HELP, buckets: BOUNDS });
  histogram.of();
  expect(histogram.text()).toBe(await registry.metrics());
});

test('what is no number is refused, and leaves the sum as it was', () => {
  const histogram = new Histogram({ name: NAME, help: HELP, buckets: BOUNDS });
  const series = histogram.of();
  series.observe(2);
  for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) expect(() => series.observe(bad)).toThrow(TypeError);
  expect(histogram.text()).toContain('walpost_seconds_sum 2\n');
});
