/** examples/event-targets, as its README says: events by target, kills of walpost and n8n, and the acceptance list. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ExampleRun } from '../support/example-run.ts';

const FOLDER = join(import.meta.dirname, '../../examples/event-targets');

describe('npm start', { timeout: 120_000 }, () => {
  let example: ExampleRun;
  beforeAll(async () => {
    example = await ExampleRun.start('event-targets');
  }, 120_000);
  afterAll(async () => example[Symbol.asyncDispose](), 60_000);

  const publish = (
    target: string,
    type: string,
    payload: object,
    key = '',
  ): Promise<{ code: number; output: string }> =>
    example.npmRun('publish', target, type, JSON.stringify(payload), ...(key === '' ? [] : [key]));
  const idOf = ({ output }: { output: string }): string => /^event (\S+),/m.exec(output)?.[1] ?? '';

  test('n8n runs its workflow, a subscriber of the organization gets a broadcast, Slack a readable message', async () => {
    await publish('n8n', 'booking.created', { guest: 'Ada', nights: 2 });
    const seat = idOf(await publish('realtime', 'seat.freed', { seat: '12A' }));
    const payment = idOf(await publish('slack', 'payment.failed', { customer: 'Ada', amount: '12.50' }));
    await example.prints(/^n8n \| booking\.created of 6f1c2a52-\S+: the workflow has run$/m);
    await example.prints(new RegExp(`^realtime \\| seat\\.freed ${seat} at a subscriber of 6f1c2a52-`, 'm'));
    await example.prints(new RegExp(`\\*amount\\*\\n12\\.50\\n[^]*Organization 6f1c2a52-\\S+ · ${payment} `));
  });

  test('a payload that does not fit its type is refused with its path, before anything is sent', async () => {
    expect(await publish('slack', 'payment.failed', { customer: 'Ada', amount: 12 })).toEqual({
      code: 1,
      output:
        'walpost: the payload of "payment.failed" does not fit its schema: amount: expected string, got a number\n',
    });
  });

  test('a key that comes again is the same event', async () => {
    const calls = await Promise.all(
      [1, 2].map(() => publish('n8n', 'booking.created', { guest: 'Bo', nights: 1 }, 'bo')),
    );
    expect(new Set(calls.map(idOf)).size).toBe(1);
  });

  test('kill -9 of walpost and of n8n: nothing is lost, and each workflow runs once', async () => {
    const burst = async (name: string): Promise<void> => {
      const { code, output } = await example.npmRun(
        'publish',
        'n8n',
        'booking.created',
        '{"guest": "Cy", "nights": 1}',
        name,
        '40',
      );
      expect({ code, output }).toMatchObject({ code: 0 });
    };
    for (const name of ['walpost', 'n8n', 'walpost', 'n8n']) {
      await Promise.all([burst(`${name} ${example.output.length}`), example.kill(name)]);
    }
    const { code, output } = await example.npmRun('audit');
    expect({ code, output }).toMatchObject({ code: 0, output: expect.stringMatching(/^ {2}n8n +162 +162 +0 +0 +0$/m) });
  });
});

test('npm run acceptance: each line of the list holds', { timeout: 180_000 }, async () => {
  // Other test files run beside it, so its figures of speed are shown and not judged.
  const command = ['run', '--silent', 'acceptance', '--', '--any-speed'];
  const { stdout } = await promisify(execFile)('npm', command, { cwd: FOLDER }).catch(
    (error: { stdout: string }) => error,
  );
  const lines = stdout.split('\n').filter((line) => /^ {2}(ok|FAILED) /.test(line));
  process.stdout.write(`${lines.join('\n')}\n`);
  expect(lines.filter((line) => line.startsWith('  FAILED'))).toEqual([]);
  expect(stdout).toContain('All 11 passed.');
});
