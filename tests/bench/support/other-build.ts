import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** The program of a checkout that was built (`npm run build`). */
export function programOf(checkout: string): string {
  return join(checkout, 'dist/src/main.js');
}

/** The schema as the program of that checkout makes it: builds may differ in it. */
export function migratedBy(checkout: string): (url: string) => Promise<void> {
  return (url) => {
    const folder = mkdtempSync(join(tmpdir(), 'walpost-other-'));
    const file = join(folder, 'walpost.yaml');
    const sinks = { out: { type: 'discard' } };
    writeFileSync(file, JSON.stringify({ database: { url }, sinks, routes: [{ match: { topic: '*' }, to: ['out'] }] }));
    try {
      execFileSync(process.execPath, [programOf(checkout), 'migrate', '--config', file]);
    } finally {
      rmSync(folder, { recursive: true });
    }
    return Promise.resolve();
  };
}
