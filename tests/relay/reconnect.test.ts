import { expect, test } from 'vitest';
import { keepTrying } from '../../src/relay/reconnect.ts';
import { ManualClock } from '../support/manual-clock.ts';

/** Tries once with this error, then ends in good order; what was told of the error. */
async function tried(error: Error): Promise<unknown> {
  const clock = new ManualClock();
  const told: unknown[] = [];
  let attempts = 0;
  const attempt = async (): Promise<void> => {
    attempts += 1;
    if (attempts === 1) throw error;
  };
  await keepTrying(attempt, {
    clock,
    signal: new AbortController().signal,
    onRetry: (known) => {
      told.push(known);
      setImmediate(() => void clock.advance(20_000));
    },
  });
  return told[0];
}

test('a connection that breaks in any statement is made again', async () => {
  expect(await tried(new Error('Connection terminated unexpectedly'))).toMatchObject({ code: 'CONNECTION_LOST' });
  const shutdown = Object.assign(new Error('terminating connection'), { code: '57P01', severity: 'FATAL' });
  expect(await tried(shutdown)).toMatchObject({ code: 'SERVER_SHUTDOWN' });
});

test('a defect ends it', async () => {
  await expect(tried(new TypeError('x is undefined'))).rejects.toBeInstanceOf(TypeError);
});
