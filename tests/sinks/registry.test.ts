import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { sinkSchema } from '../../src/config/sinks/sinks.ts';
import { refuseOldNode } from '../../src/sinks/kafka/kafka-client.ts';
import { createSink, orNameMissing } from '../../src/sinks/registry.ts';
import { contractContext } from '../contract/sink-contract.ts';

const types = sinkSchema.options.map((schema) => ({ type: schema.shape.type.value, schema }));

/** Their client needs Node 22; tests/node22 creates them from their examples. */
const needNode22 = ['kafka'];

test.each(types.filter(({ type }) => !needNode22.includes(type)))(
  'a sink of type $type is created from each example of its schema',
  async ({ type, schema }) => {
    const { examples = [] } = schema.meta() ?? {};
    expect(examples).not.toEqual([]);
    for (const example of examples as unknown[]) {
      const config = sinkSchema.parse(example);
      expect(config.type).toBe(type);
      await (await createSink(config, contractContext)).close();
    }
  },
);

describe.each(types)('a sink of type $type', ({ type }) => {
  test('runs the contract of sinks', () => {
    const folders = [import.meta.dirname, join(import.meta.dirname, '../node22')];
    const texts = folders
      .flatMap((folder) => readdirSync(folder).map((file) => join(folder, file)))
      .filter((file) => file.endsWith('.test.ts'))
      .map((file) => readFileSync(file, 'utf8'));
    expect(texts.some((text) => text.includes(`describeSinkContract('${type}'`))).toBe(true);
  });

  test('has a page in docs/sinks, with an example, and a row in its table', () => {
    const docs = join(import.meta.dirname, '../../docs/sinks');
    expect(readFileSync(join(docs, `${type}.md`), 'utf8')).toContain(`type: ${type}\n`);
    expect(readFileSync(join(docs, 'README.md'), 'utf8')).toContain(`| \`${type}\``);
  });
});

describe('a package that is not installed', () => {
  const absent = '@walpost-test/not-there';

  test('is named, with the command that installs the version that works', async () => {
    const making = orNameMissing(['undici', `${absent}@6`], 'kafka', () => import(absent));
    await expect(making).rejects.toMatchObject({
      code: 'SINK_PACKAGE_MISSING',
      message: expect.stringContaining(`A sink of type kafka needs ${absent}.`),
      remedy: `npm install ${absent}@6`,
    });
  });

  test('is named with the Node that it needs', async () => {
    expect(() => refuseOldNode('22.0.0')).not.toThrow();
    expect(() => refuseOldNode('20.19.4')).toThrow(
      expect.objectContaining({
        code: 'SINK_PACKAGE_MISSING',
        message: expect.stringContaining(
          'needs @platformatic/kafka, which needs Node 22 or newer. This is Node 20.19.4.',
        ),
        remedy: expect.stringContaining('npm install @platformatic/kafka@2'),
      }),
    );
  });

  test('is not blamed for another error', async () => {
    await expect(orNameMissing([absent], 'kafka', () => Promise.reject(new TypeError('x')))).rejects.toThrow(TypeError);
    const making = orNameMissing(['undici'], 'webhook', () => import(absent));
    await expect(making).rejects.toMatchObject({ code: 'ERR_MODULE_NOT_FOUND' });
  });
});
