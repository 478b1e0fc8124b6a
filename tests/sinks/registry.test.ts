import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { sinkSchema } from '../../src/config/sinks/sinks.ts';
import { createSink, orNameMissing } from '../../src/sinks/registry.ts';
import { contractContext } from '../contract/sink-contract.ts';

describe.each(sinkSchema.options.map((schema) => ({ type: schema.shape.type.value, schema })))(
  'a sink of type $type',
  ({ type, schema }) => {
    const { examples = [] } = schema.meta() ?? {};

    test('is created from each example of its schema', async () => {
      expect(examples).not.toEqual([]);
      for (const example of examples as unknown[]) {
        const config = sinkSchema.parse(example);
        expect(config.type).toBe(type);
        await (await createSink(config, contractContext)).close();
      }
    });

    test('runs the contract of sinks', () => {
      const tests = readdirSync(import.meta.dirname).filter((file) => file.endsWith('.test.ts'));
      const texts = tests.map((file) => readFileSync(join(import.meta.dirname, file), 'utf8'));
      expect(texts.some((text) => text.includes(`describeSinkContract('${type}'`))).toBe(true);
    });

    test('has a page in docs/sinks, with an example, and a row in its table', () => {
      const docs = join(import.meta.dirname, '../../docs/sinks');
      expect(readFileSync(join(docs, `${type}.md`), 'utf8')).toContain(`type: ${type}\n`);
      expect(readFileSync(join(docs, 'README.md'), 'utf8')).toContain(`| \`${type}\``);
    });
  },
);

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

  test('is not blamed for another error', async () => {
    await expect(orNameMissing([absent], 'kafka', () => Promise.reject(new TypeError('x')))).rejects.toThrow(TypeError);
    const making = orNameMissing(['undici'], 'webhook', () => import(absent));
    await expect(making).rejects.toMatchObject({ code: 'ERR_MODULE_NOT_FOUND' });
  });
});
