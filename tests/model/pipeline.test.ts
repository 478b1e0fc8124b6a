import fc from 'fast-check';
import { expect, test } from 'vitest';
import { commands } from './commands.ts';
import { World } from './world.ts';

/**
 * `WALPOST_MODEL_SECONDS=600 WALPOST_MODEL_SEED=random npx vitest run tests/model` looks for what is not known yet; the
 * default seed is the same each time, so that a run of the suite says something about the change and not about luck.
 */
const seconds = Number(process.env['WALPOST_MODEL_SECONDS'] ?? 15);
const wanted = process.env['WALPOST_MODEL_SEED'] ?? '1';
const seed = wanted === 'random' ? Date.now() % 2 ** 31 : Number(wanted);

test(
  `a duplicate is allowed, a hole and an overtaking are not (seed ${seed})`,
  { timeout: (seconds + 120) * 1000 },
  async () => {
    let runs = 0;
    await fc.assert(
      fc.asyncProperty(commands, async (script) => {
        runs += 1;
        await new World().run(script);
      }),
      { seed, numRuns: 1_000_000, timeout: 3_000, interruptAfterTimeLimit: seconds * 1000 },
    );
    console.log(`the model ran ${runs} histories in ${seconds} s with seed ${seed}`);
    expect(runs).toBeGreaterThan(20);
  },
);
