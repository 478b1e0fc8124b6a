import { describe, expect, test } from 'vitest';
import { sinkSchema } from '../../src/config/sinks.ts';
import { createSink, orNameMissing } from '../../src/sinks/registry.ts';
import { contractContext } from '../contract/sink-contract.ts';

describe('every type of sink that can be configured can be made', () => {
  const examples = [
    { type: 'discard' },
    { type: 'stdout' },
    { type: 'webhook', url: 'https://example.com/hook' },
    { type: 'realtime', url: 'https://abc.supabase.co', key: 'service-role-key' },
  ];

  test('there is an example of each', () => {
    expect(examples.map(({ type }) => type)).toEqual(sinkSchema.options.map(({ shape }) => shape.type.value));
  });

  test.each(examples)('$type', async (example) => {
    const sink = await createSink(sinkSchema.parse(example), contractContext);
    await sink.close();
  });
});

describe('a package that is not installed', () => {
  const absent = '@walpost-test/not-there';

  test('is named, with the command that installs it', async () => {
    const making = orNameMissing(['undici', absent], 'kafka', () => import(absent));
    await expect(making).rejects.toMatchObject({
      code: 'SINK_PACKAGE_MISSING',
      message: expect.stringContaining(`A sink of type kafka needs ${absent}.`),
      remedy: `npm install ${absent}`,
    });
  });

  test('is not blamed for another error', async () => {
    await expect(orNameMissing([absent], 'kafka', () => Promise.reject(new TypeError('x')))).rejects.toThrow(TypeError);
    const making = orNameMissing(['undici'], 'webhook', () => import(absent));
    await expect(making).rejects.toMatchObject({ code: 'ERR_MODULE_NOT_FOUND' });
  });
});
