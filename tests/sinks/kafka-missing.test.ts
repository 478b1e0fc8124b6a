import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { compiled } from '../support/compiled.ts';

const REGISTRY = compiled(join(import.meta.dirname, '../../src/sinks/registry.ts'));

/** In a process of its own: vitest gives an optional package that is not installed an error of its own. */
test('the client of Kafka is named where it is not installed, on any version of Node', async () => {
  const program = `
    const { createSink } = await import(${JSON.stringify(REGISTRY)});
    const config = { type: 'kafka', brokers: ['127.0.0.1:9092'], topic: 'walpost', key: '{organization_id}', concurrency: 1 };
    await createSink(config, { name: 'out' }).catch((error) => console.log(error.code + ' ' + error.message));`;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', program]);
  expect(stdout).toMatch(/^SINK_PACKAGE_MISSING .*A sink of type kafka needs @platformatic\/kafka/);
});
