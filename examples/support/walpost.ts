/** The command line of walpost, as the examples call it. In your project it is `npx walpost`. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { ExampleError } from './example-error.ts';

export const WALPOST = join(import.meta.dirname, '../../dist/src/main.js');

/** Runs one command to its end; what it prints is shown only when it fails. */
export async function walpost(
  args: readonly string[],
  options: { readonly cwd: string; readonly env: Readonly<Record<string, string>> },
): Promise<void> {
  if (!existsSync(WALPOST))
    throw new ExampleError('walpost is not compiled.', 'Start with npm start, which compiles it.');
  const child = spawn(process.execPath, [WALPOST, ...args], {
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let printed = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text: Buffer) => (printed += text.toString()));
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0)
    throw new ExampleError(
      `walpost ${args.join(' ')} failed:\n${printed.trimEnd()}`,
      'Start again when that is mended.',
    );
}
