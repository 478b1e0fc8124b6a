import { existsSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { expect, test } from 'vitest';
import { sinkSchema } from '../../src/config/sinks/sinks.ts';
import type { Arrival } from '../../src/demo/audit.ts';
import { type DemoOptions, runDemo } from '../../src/demo/run-demo.ts';
import { natsServerMissing } from '../support/nats-server.ts';
import { rabbitmqServerMissing } from '../support/rabbitmq-server.ts';
import { redisMissing } from '../support/redis-server.ts';

/** Sinks that need no server of this machine. */
const OWN = ['custom', 'email', 'live', 'postgres', 'realtime', 'slack', 'stdout', 'webhook'];
const [redis, nats, rabbitmq] = [await redisMissing(), await natsServerMissing(), await rabbitmqServerMissing()];
const OF_SERVERS = [
  ...(redis === undefined ? ['bullmq', 'redis'] : []),
  ...(nats === undefined ? ['nats'] : []),
  ...(rabbitmq === undefined ? ['rabbitmq'] : []),
];

interface SinkCounts {
  readonly event_types: readonly string[];
  readonly committed: number;
  readonly delivered: number;
  readonly missing: number;
  readonly duplicates: number | null;
  readonly out_of_order: number | null;
  readonly unexpected: number;
}

interface Told {
  readonly ok: boolean;
  readonly committed: number;
  readonly sinks: Readonly<Record<string, SinkCounts>>;
  readonly left_out: Readonly<Record<string, string>>;
}

const ORGANIZATIONS = 4;
const TYPES = sinkSchema.options.map((option) => option.shape.type.value);

async function run(options: Partial<DemoOptions>) {
  let text = '';
  let json = '';
  const code = await runDemo({
    durationMs: 2000,
    rate: 100,
    organizations: ORGANIZATIONS,
    plain: true,
    output: { write: (more: string) => (text += more) },
    result: { write: (more: string) => (json += more) },
    allSinks: true,
    ...options,
  });
  return { code, text, told: JSON.parse(json) as Told };
}

/** Removes the log that a failed run leaves for its reader. */
function removeLog(text: string): void {
  const log = /^The log of walpost: (.+)$/m.exec(text)?.[1] ?? '';
  expect(existsSync(log)).toBe(true);
  rmSync(dirname(log), { recursive: true });
}

type Fault = (arrivals: readonly Arrival[]) => readonly Arrival[];

/** Loses one event. */
function dropOne(): Fault {
  let dropped = false;
  return (arrivals) => {
    if (dropped) return arrivals;
    dropped = true;
    return arrivals.slice(1);
  };
}

/** Holds one event back until the next one of its organization has been taken. */
function swapTwo(): Fault {
  let held: Arrival | undefined;
  let swapped = false;
  return (arrivals) => {
    const [first] = arrivals;
    if (swapped || !first) return arrivals;
    if (!held) {
      held = first;
      return arrivals.slice(1);
    }
    if (first.organizationId !== held.organizationId) return arrivals;
    swapped = true;
    return [...arrivals, held];
  };
}

test('every sink gets its share, each organization in its order, and is compared', { timeout: 120_000 }, async () => {
  const { code, text, told } = await run({});
  expect(text).toContain('Every committed event arrived at every sink');
  expect(code).toBe(0);
  expect(told.ok).toBe(true);
  expect(Object.keys(told.sinks).toSorted()).toEqual([...OWN, ...OF_SERVERS].toSorted());
  for (const [name, { committed, ...counts }] of Object.entries(told.sinks)) {
    const seen = name === 'email' ? null : 0;
    const clean = { delivered: committed, missing: 0, duplicates: seen, out_of_order: seen, unexpected: 0 };
    expect({ name, ...counts }).toMatchObject({ name, ...clean });
    // At least the last event of each of its types for each organization.
    expect(committed).toBeGreaterThanOrEqual(ORGANIZATIONS * counts.event_types.length);
  }
  expect(told.sinks['webhook']?.committed).toBe(told.committed);

  expect(told.left_out).toMatchObject({ kafka: 'the demo starts no Kafka', discard: 'nothing arrives there' });
  const accounted = [...Object.keys(told.sinks), ...Object.keys(told.left_out)];
  expect(accounted.toSorted()).toEqual(TYPES.toSorted());
  expect(text.replace(/\s+/g, ' ')).toContain('Left out: kafka (the demo starts no Kafka), discard (');
});

test(
  'what a stand-in loses or swaps after it has answered 200 is found at its sink',
  { timeout: 120_000 },
  async () => {
    const faults = { slack: dropOne(), realtime: swapTwo() };
    const { code, text, told } = await run({
      tamperSinks: (sink, arrivals) => faults[sink](arrivals),
      patienceMs: 3000,
    });
    expect(code).toBe(1);
    expect(text).toContain('FAILED: what arrived at realtime, slack is not what was committed.');
    expect(told.ok).toBe(false);
    expect(told.sinks['slack']).toMatchObject({ missing: 1, out_of_order: 0, unexpected: 0 });
    expect(told.sinks['realtime']).toMatchObject({ missing: 0, out_of_order: 1, unexpected: 0 });
    const others = Object.entries(told.sinks).filter(([name]) => name !== 'slack' && name !== 'realtime');
    expect(others.map(([, { missing, out_of_order }]) => missing + (out_of_order ?? 0))).toEqual(others.map(() => 0));
    removeLog(text);
  },
);
