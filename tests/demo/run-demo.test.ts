import { existsSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Arrival } from '../../src/demo/audit.ts';
import { type DemoOptions, runDemo } from '../../src/demo/run-demo.ts';

interface Run {
  readonly code: number;
  readonly text: string;
  /** Figures of the table by their label. */
  readonly figure: (label: string) => number;
}

async function run(options: Partial<DemoOptions> = {}): Promise<Run> {
  let text = '';
  const output = { write: (more: string) => (text += more) };
  const code = await runDemo({ durationMs: 1500, rate: 400, organizations: 5, plain: true, output, ...options });
  const figure = (label: string): number => {
    const value = new RegExp(`^  ${label} +([\\d,]+)`, 'm').exec(text)?.[1];
    return Number(value?.replaceAll(',', '') ?? NaN);
  };
  return { code, text, figure };
}

/** Removes the log that a failed run leaves for its reader. */
function removeLog(text: string): void {
  const log = /^The log of walpost: (.+)$/m.exec(text)?.[1] ?? '';
  expect(existsSync(log)).toBe(true);
  rmSync(dirname(log), { recursive: true });
}

describe('runDemo', { timeout: 60_000 }, () => {
  test('delivers all that was committed, in order, and nothing that was rolled back', async () => {
    const { code, text, figure } = await run();
    expect(text).toContain('Every committed event arrived');
    expect(code).toBe(0);
    expect(figure('committed')).toBeGreaterThan(200);
    expect(figure('delivered')).toBe(figure('committed'));
    expect(text).toMatch(/rolled back, delivered +0 {2}of [1-9]/);
    expect(text).toMatch(/commit to delivery p50 +[\d,]+ ms/);
    expect(text).not.toContain('The log of walpost');
  });

  test('ends with 1 when an event is lost between walpost and the receiver', async () => {
    let dropped = false;
    const dropOne = (batch: readonly Arrival[]): readonly Arrival[] => {
      if (dropped) return batch;
      dropped = true;
      return batch.slice(1);
    };
    const { code, text, figure } = await run({ tamper: dropOne, durationMs: 1000, patienceMs: 5000 });
    expect(code).toBe(1);
    expect(text).toContain('FAILED');
    expect(figure('missing')).toBe(1);
    expect(figure('out of order')).toBe(0);
    removeLog(text);
  });

  test('ends with 1 when two events of an organization change places', async () => {
    let swapped = false;
    const swapTwo = (batch: readonly Arrival[]): readonly Arrival[] => {
      if (swapped || batch.length < 2) return batch;
      swapped = true;
      return batch.toReversed();
    };
    const { code, text, figure } = await run({ tamper: swapTwo, organizations: 2 });
    expect(code).toBe(1);
    expect(figure('missing')).toBe(0);
    expect(figure('out of order')).toBeGreaterThan(0);
    removeLog(text);
  });
});
