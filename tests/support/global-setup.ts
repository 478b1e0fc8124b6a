import type { TestProject } from 'vitest/node';
import { startEmbeddedPostgres } from '../../src/demo/embedded-postgres.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** Superuser's connection string to the one server that all test files of a run share. */
    postgresUrl: string;
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const server = await startEmbeddedPostgres({ settings: { max_connections: '400' } });
  project.provide('postgresUrl', server.url());
  return () => server[Symbol.asyncDispose]();
}
