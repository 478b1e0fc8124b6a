/** The command line of walpost, as the examples call it. In your project it is `npx walpost`. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';

export const WALPOST = join(import.meta.dirname, '../../dist/src/main.js');

/** Runs one command to its end; what it prints is shown only when it fails. */
export async function walpost(
  args: readonly string[],
  options: { readonly cwd: string; readonly env: Readonly<Record<string, string>> },
): Promise<void> {
  const child = spawn(process.execPath, [WALPOST, ...args], {
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let printed = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text: Buffer) => (printed += text.toString()));
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0) throw new Error(`walpost ${args.join(' ')} failed:\n${printed}`);
}
