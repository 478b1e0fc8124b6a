import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { sinkSchema } from '../../src/config/sinks/sinks.ts';
import { createSink } from '../../src/sinks/registry.ts';
import { contractContext } from '../contract/sink-contract.ts';

const VALUES: Readonly<Record<string, string>> = {
  REDIS_URL: 'redis://127.0.0.1:1/0',
  INBOX_DATABASE_URL: 'postgres://walpost@127.0.0.1:1/app',
};

test.for(['bullmq', 'redis', 'postgres'])('the example of docs/sinks/%s.md makes a sink', async (type) => {
  const page = readFileSync(join(import.meta.dirname, `../../docs/sinks/${type}.md`), 'utf8');
  const text = /```yaml\n(.*?)```/s.exec(page)?.[1] ?? '';
  const { sinks } = parse(text.replace(/\$\{(\w+)\}/g, (_, name: string) => VALUES[name] ?? '')) as { sinks: object };
  const [config] = Object.values(sinks).map((sink) => sinkSchema.parse(sink));
  expect(config?.type).toBe(type);
  if (config) await (await createSink(config, contractContext)).close();
});
