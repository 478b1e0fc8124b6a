import { expect, test } from 'vitest';
import { sinkSchema } from '../../src/config/sinks/sinks.ts';
import { createSink } from '../../src/sinks/registry.ts';
import { contractContext } from '../contract/sink-contract.ts';

const jwt = (claims: object): string => `e30.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.c2ln`;

/** What is logged when the sink is created. */
async function warnings(key: string, more: object = {}): Promise<unknown[]> {
  const said: unknown[] = [];
  const log = { ...contractContext.log, warn: (fields: object) => said.push(fields) };
  const config = sinkSchema.parse({ type: 'realtime', url: 'https://project.example', key, ...more });
  const sink = await createSink(config, { ...contractContext, log });
  await sink.close();
  return said;
}

test.each([
  ['sb_publishable_0123456789abcdef', 'anon'],
  [jwt({ role: 'anon' }), 'anon'],
  [jwt({ role: 'authenticated' }), 'authenticated'],
])('%s may not write to private channels by itself, which is said at the start', async (key, role) => {
  expect(await warnings(key)).toEqual([{ role }]);
  expect(await warnings(key, { private: false })).toEqual([]);
});

test.each([
  jwt({ role: 'service_role' }),
  'sb_secret_0123456789abcdef',
  jwt({}),
  'a.key.of-something-else',
  'plain-key',
])('nothing is said of %s', async (key) => {
  expect(await warnings(key)).toEqual([]);
});
