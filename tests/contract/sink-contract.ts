/** The contract of sinks, as vitest runs it. A sink's test file calls `describeSinkContract` with the real destination. */
import { describe, test } from 'vitest';
import { type SinkHarness, testContext } from '../../src/sink/testing/harness.ts';
import { sinkContract } from '../../src/sink/testing/sink-contract.ts';

export type { SinkHarness } from '../../src/sink/testing/harness.ts';
export const contractContext = testContext;

export function describeSinkContract(name: string, makeHarness: () => Promise<SinkHarness>): void {
  describe(`${name} keeps the contract of a sink`, () => {
    test.each(sinkContract(makeHarness))('$name', ({ run }) => run());
  });
}
