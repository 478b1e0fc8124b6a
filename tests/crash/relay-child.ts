/** `walpost run` whose clock runs fast (TEST_SPEED), or that dies when a request with a text leaves (TEST_ABORT_ON). */
import { subscribe } from 'node:diagnostics_channel';
import { systemClock } from '../../src/clock.ts';
import { boundHeapGrowth } from '../../src/cli/heap-growth.ts';
import { runProcess } from '../../src/cli/run-process.ts';
import { loadConfig } from '../../src/config/load-config.ts';
import { Relay } from '../../src/relay/relay.ts';
import { fastClock } from '../support/fast-clock.ts';

const { TEST_SPEED, TEST_ABORT_ON } = process.env;
const config = loadConfig({ path: process.argv.at(-1), env: {} });

if (TEST_ABORT_ON !== undefined) {
  subscribe('undici:request:create', (message) => {
    const { body } = (message as { request: { body: Buffer | string | null } }).request;
    if (body !== null && Buffer.from(body as Buffer).includes(TEST_ABORT_ON)) process.abort();
  });
}

boundHeapGrowth();
process.exitCode = await runProcess(
  { config },
  (parts) =>
    new Relay({
      ...parts,
      clock: TEST_SPEED === undefined ? systemClock : fastClock(Number(TEST_SPEED)),
    }),
);
