import { spawnSync } from 'node:child_process';
import { programMissing } from '../support/debian-package.ts';

const PROMTOOL = '/usr/bin/promtool';

export const noPromtool = await programMissing(PROMTOOL, 'prometheus');

/** Runs promtool; `output` is all that it printed. */
export function promtool(
  args: readonly string[],
  input = '',
): { readonly code: number | null; readonly output: string } {
  const { status, stdout, stderr } = spawnSync(PROMTOOL, args, { input, encoding: 'utf8' });
  return { code: status, output: `${stdout}${stderr}` };
}
