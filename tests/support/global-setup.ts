import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { startEmbeddedPostgres } from '../../src/demo/postgres/embedded-postgres.ts';
import { inMemory } from './in-memory.ts';

/** Of the set-up (scripts/setup.mjs --build). */
const OTHER_PROJECTS = ['tsconfig.build.json', 'packages/client', 'packages/consumer'];

declare module 'vitest' {
  interface ProvidedContext {
    /** Superuser's connection string to the one server that all test files of a run share. */
    postgresUrl: string;
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  compile();
  const server = await startEmbeddedPostgres({ ...inMemory, settings: { max_connections: '400' } });
  project.provide('postgresUrl', server.url());
  return () => server[Symbol.asyncDispose]();
}

/**
 * For the processes that tests start (compiled.ts), and for what `npm start` of an example compiles: it must find that done, or it
 * would write files that other tests read. Takes a second when nothing has changed.
 */
function compile(): void {
  const tsc = join(dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'bin/tsc');
  // Two runs: one remembers that the files of the packages, which tests of examples import, were not there.
  for (const projects of [OTHER_PROJECTS, ['.']]) {
    const { status, stdout } = spawnSync(process.execPath, [tsc, '-b', ...projects], {
      cwd: join(import.meta.dirname, '../..'),
      encoding: 'utf8',
    });
    if (status !== 0) throw new Error(`tsc -b failed:\n${stdout}`);
  }
}
