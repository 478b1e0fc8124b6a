/** Commands that reach no sink work where no variable of a sink is set, whatever the type of the sink. */
import { describe, expect, test } from 'vitest';
import { sinkSchema } from '../../src/config/sinks/sinks.ts';
import { variantsOf } from '../../src/config/option-schema.ts';
import { problemsOf } from '../support/config-file.ts';

type Example = Readonly<Record<string, unknown>>;

/** Options of which one needs another, beside the examples of each type. */
const MORE: readonly Example[] = [
  { type: 'email', provider: 'smtp', url: 'x', from: 'a@b.example', to: 'payload.email', templates: 'examples/mails' },
  { type: 'nats', servers: ['x'], user: 'x', password: 'x', tls: { ca: 'x', certificate: 'x', key: 'x' } },
  { type: 'webhook', url: 'x', secret: 'x', ca: 'x', proxy: 'x', timeout: 'x', headers: { authorization: 'x' } },
  { type: 'realtime', url: 'x', key: 'x', channel: 'x', event: 'x' },
];
const EXAMPLES = [
  ...variantsOf(sinkSchema).flatMap(({ schema }) => (schema.meta()?.['examples'] ?? []) as Example[]),
  ...MORE,
];

/** Each text, but for the type, comes from a variable. */
function fromVariables(value: unknown): unknown {
  if (typeof value === 'string') return '${NOT_SET}';
  if (Array.isArray(value)) return value.map(fromVariables);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, child]) => [key, key === 'type' ? child : fromVariables(child)]),
  );
}

/** JSON is YAML too. */
const fileWith = (sink: unknown, more: object = {}): string =>
  JSON.stringify({
    database: { url: 'postgres://localhost/app' },
    sinks: { out: sink },
    routes: [{ to: ['out'] }],
    live: { secret: 'x'.repeat(32) },
    ...more,
  });

test('every type of sink has an example here', () => {
  expect(new Set(EXAMPLES.map(({ type }) => type))).toEqual(new Set(variantsOf(sinkSchema).map(({ type }) => type)));
});

describe.each(EXAMPLES)('$type', (example) => {
  test('all of its texts come from variables that are not set', () => {
    const text = fileWith(fromVariables(example));
    expect(problemsOf(text, { sinksAreIdle: true })).toEqual([]);
    const isSet = !text.includes('NOT_SET');
    expect(problemsOf(text).length === 0).toBe(isSet);
  });

  test.each(Object.keys(example).filter((key) => key !== 'type'))('%s alone does', (key) => {
    const text = fileWith({ ...example, [key]: fromVariables(example[key]) });
    expect(problemsOf(text, { sinksAreIdle: true }).filter((problem) => problem.includes(`out.${key}`))).toEqual([]);
  });
});

test('the secret of the live channel is not needed either', () => {
  const text = fileWith({ type: 'live' }, { live: { secret: '${NOT_SET}' } });
  expect(problemsOf(text, { sinksAreIdle: true })).toEqual([]);
  expect(problemsOf(text)).not.toEqual([]);
});

test('what else is wrong with such a sink is still told', () => {
  const text = fileWith({ type: 'nats', servers: ['${NOT_SET}'], window: 'never', colour: 'red' });
  expect(problemsOf(text, { sinksAreIdle: true })).toEqual([
    expect.stringContaining('sinks.out.window'),
    expect.stringContaining('sinks.out.colour'),
  ]);
});
