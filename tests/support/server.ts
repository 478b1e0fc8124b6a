import { existsSync } from 'node:fs';
import { join } from 'node:path';
import {
  type EmbeddedPostgres,
  type EmbeddedPostgresOptions,
  embeddedPlatform,
  startEmbeddedPostgres,
} from '../../src/demo/postgres/embedded-postgres.ts';
import { inMemory } from './in-memory.ts';
import { installedPackages } from './installed-packages.ts';

export type PostgresMajor = '15' | '16' | '17' | '18';

/** A server of the test's own, for what must not happen to the shared one: restarts, settings, another major version. */
export async function startServer(
  version: PostgresMajor = '17',
  options: EmbeddedPostgresOptions = {},
): Promise<EmbeddedPostgres> {
  if (version === '17') return startEmbeddedPostgres({ ...inMemory, ...options });
  const packages = await installedPackages('servers');
  const packageDirectory = join(packages, 'node_modules', `postgres-${version}-${embeddedPlatform}`);
  if (!existsSync(packageDirectory))
    throw new Error(`tests/servers has no Postgres ${version} for ${embeddedPlatform}`);
  return startEmbeddedPostgres({ ...inMemory, ...options, packageDirectory });
}
