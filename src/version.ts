import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** The version of this program, from the package.json that it came with. */
export const VERSION = findVersion(import.meta.dirname);

function findVersion(directory: string): string {
  try {
    const found = JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8')) as {
      name?: string;
      version?: string;
    };
    if (found.name === 'walpost' && found.version) return found.version;
  } catch {
    // Not in this directory.
  }
  const parent = dirname(directory);
  return parent === directory ? 'unknown' : findVersion(parent);
}
