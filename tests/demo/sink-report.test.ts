import { expect, test } from 'vitest';
import { isCleanSink, type SinkAudit } from '../../src/demo/sinks/sink-audit.ts';
import { sinkJson, sinkTable } from '../../src/demo/sinks/sink-report.ts';

const audit = {
  committed: 7_500_000,
  rolledBack: 0,
  delivered: 7_500_000,
  missing: 0,
  duplicates: 3,
  outOfOrder: 0,
  rolledBackDelivered: 0,
  unexpected: 0,
};
const redis: SinkAudit = { name: 'redis', eventTypes: ['order.paid'], audit, isSequence: true };
const email: SinkAudit = { name: 'email', eventTypes: ['order.invoiced'], audit, isSequence: false };
const leftOut = new Map([
  ['kafka', 'the demo starts no Kafka'],
  ['rabbitmq', 'its server does not start: the node cannot be reached by the name that it was given'],
  ['nats', 'no nats-server on this machine'],
]);

test('the table fits 80 columns, and shows a dash where nothing can be told', () => {
  const lines = sinkTable({ audits: [redis, email], leftOut }, 80);
  expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(80);
  const cells = (name: string) =>
    lines
      .find((line) => line.startsWith(`  ${name}`))
      ?.trim()
      .split(/ {2,}/);
  expect(cells('redis')).toEqual(['redis', '7,500,000', '7,500,000', '0', '3', '0', '0']);
  expect(cells('email')).toEqual(['email', '7,500,000', '7,500,000', '0', '–', '–', '0']);
  for (const name of leftOut.keys()) expect(lines.join(' ')).toContain(`${name} (`);
});

test('a rolled back event that arrived is unexpected', () => {
  const audits = [{ ...redis, audit: { ...audit, unexpected: 1, rolledBackDelivered: 1 } }];
  const lines = sinkTable({ audits, leftOut }, 80);
  expect(lines.find((line) => line.startsWith('  redis'))).toMatch(/ 2$/);
});

test('in a narrow terminal what is wrong stands in words', () => {
  const lost: SinkAudit = { ...redis, name: 'rabbitmq', audit: { ...audit, missing: 2, duplicates: 0, unexpected: 1 } };
  const lines = sinkTable({ audits: [redis, email, lost], leftOut }, 60);
  expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(60);
  expect(lines.slice(2, 6)).toEqual([
    '                share  delivered  beside that',
    '  redis     7,500,000  7,500,000  3 repeated',
    '  email     7,500,000  7,500,000  nothing',
    '  rabbitmq  7,500,000  7,500,000  2 missing, 1 unexpected',
  ]);
});

test('the JSON has null where nothing can be told', () => {
  expect(sinkJson({ audits: [redis, email], leftOut: new Map([['nats', 'none']]) })).toMatchObject({
    sinks: { redis: { duplicates: 3, out_of_order: 0 }, email: { duplicates: null, out_of_order: null } },
    left_out: { nats: 'none' },
  });
});

test.each<[string, boolean, Partial<SinkAudit>]>([
  ['repetitions', true, {}],
  ['a loss', false, { audit: { ...audit, missing: 1 } }],
  ['another order', false, { audit: { ...audit, outOfOrder: 1 } }],
  ['another order where none can be told', true, { audit: { ...audit, outOfOrder: 1 }, isSequence: false }],
  ['an event of another sink', false, { audit: { ...audit, unexpected: 1 } }],
])('a sink with %s is clean: %s', (_name, clean, change) => {
  expect(isCleanSink({ ...redis, ...change })).toBe(clean);
});
