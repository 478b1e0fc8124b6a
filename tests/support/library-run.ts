/**
 * Libraries that applications use to reach the database, each against the outbox with the rights of walpost_publisher. A
 * library is a script of tests/orms or tests/node22; it runs in a process of its own, beside its installed packages.
 */
import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { createRole } from './database-role.ts';
import { createTestDatabase, type TestDatabase } from './database.ts';
import { installedPackages } from './installed-packages.ts';

const run = promisify(execFile);
const TESTS = join(import.meta.dirname, '..');

/** What a script prints; see tests/orms/run.mjs. */
export interface LibraryResult {
  readonly id: string;
  readonly organization: string;
  readonly created: Record<string, unknown>;
  readonly read: string;
  readonly again: number;
}

/** The scripts of a folder, copied beside the packages that they import. */
export class LibraryScripts implements AsyncDisposable {
  readonly database: TestDatabase;
  private readonly directory: string;

  private constructor(database: TestDatabase, directory: string) {
    this.database = database;
    this.directory = directory;
  }

  static async prepare(folder: 'orms' | 'node22'): Promise<LibraryScripts> {
    const home = await installedPackages(folder);
    const directory = await mkdtemp(join(home, 'run-'));
    const filter = (path: string): boolean => !path.endsWith('package.json') && !path.endsWith('package-lock.json');
    await cp(join(TESTS, folder), directory, { recursive: true, filter });
    for (const file of ['run.mjs', 'publishing/run.mjs']) await cp(join(TESTS, 'orms', file), join(directory, file));
    return new LibraryScripts(await createTestDatabase(), directory);
  }

  /** Makes the client of Prisma. It asks for an engine that it does not use; without this variable it would load one. */
  async generatePrismaClient(): Promise<void> {
    const cli = join(this.directory, '../node_modules/prisma/build/index.js');
    const env = { ...process.env, PRISMA_SCHEMA_ENGINE_BINARY: '/bin/true', CHECKPOINT_DISABLE: '1' };
    const options = ['generate', '--schema', join(this.directory, 'schema.prisma'), '--no-hints'];
    await run(process.execPath, [cli, ...options], { cwd: this.directory, env });
  }

  /** Lets the library write, as a login that is a publisher of one organization. */
  async run(library: string): Promise<LibraryResult> {
    const [id, organization] = [randomUUID(), randomUUID()];
    await using role = await createRole(this.database, { in: ['walpost_publisher'] });
    await this.database.query(`ALTER ROLE ${role.name} SET app.current_org_id = '${organization}'`);
    const env = { PATH: process.env['PATH'], DATABASE_URL: role.url, ORGANIZATION: organization, EVENT_ID: id };
    const { stdout } = await run(process.execPath, [join(this.directory, 'run.mjs'), library], { env });
    return { id, organization, ...(JSON.parse(stdout) as Omit<LibraryResult, 'id' | 'organization'>) };
  }

  /** Lets the library publish with @walpost/client, as such a login; what tests/orms/publishing/run.mjs prints. */
  async publish(library: string): Promise<{ readonly organization: string; readonly printed: string }> {
    const organization = randomUUID();
    await using role = await createRole(this.database, { in: ['walpost_publisher'] });
    await this.database.query(`ALTER ROLE ${role.name} SET app.current_org_id = '${organization}'`);
    const CLIENT = pathToFileURL(join(TESTS, '../packages/client/dist/client/src/index.js')).href;
    const env = { PATH: process.env['PATH'], DATABASE_URL: role.url, ORGANIZATION: organization, CLIENT };
    const { stdout } = await run(process.execPath, [join(this.directory, 'publishing/run.mjs'), library], { env });
    return { organization, printed: stdout };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.database[Symbol.asyncDispose]();
    await rm(this.directory, { recursive: true, force: true });
  }
}
