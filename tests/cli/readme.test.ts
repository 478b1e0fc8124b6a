/** The example of the README, as a newcomer follows it: nothing is there but a Postgres and walpost. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { closedPort } from '../support/webhook-receiver.ts';
import { Cli, walpost } from '../support/walpost-cli.ts';

const README = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
const [, USE = ''] = README.split('## Use it');
const block = (language: string): string => new RegExp(`\`\`\`${language}\n(.*?)\`\`\``, 's').exec(USE)?.[1] ?? '';

let database: TestDatabase;
let directory: string;
beforeEach(async () => {
  database = await createTestDatabase({ migrated: false });
  directory = mkdtempSync(join(tmpdir(), 'walpost-readme-'));
});
afterEach(async () => {
  rmSync(directory, { recursive: true });
  await database[Symbol.asyncDispose]();
});

test(
  'its event reaches `walpost listen`, verified, and so does one of `walpost send`',
  { timeout: 60_000 },
  async () => {
    const port = String(await closedPort());
    const env = { WALPOST__HTTP__PORT: '0', WALPOST__LOG__FORMAT: 'json', WALPOST__SOURCE__SLOT: database.slotName };
    const inPlace = { cwd: directory, env };
    writeFileSync(join(directory, '.env'), block('ini').replace(/^DATABASE_URL=.*$/m, `DATABASE_URL=${database.url}`));
    writeFileSync(join(directory, 'walpost.yaml'), block('yaml').replaceAll('4000', port));

    await using listener = new Cli(['listen'], inPlace);
    await listener.prints(/Listening on http:\/\/127\.0\.0\.1:\d+ for \w+\. /);
    const [check, migrate] = [await walpost(['config', 'check'], inPlace), await walpost(['migrate'], inPlace)];
    expect(check).toMatchObject({ code: 0, stderr: '' });
    expect(migrate).toMatchObject({ code: 0, stderr: '' });
    await using relay = new Cli(['run'], inPlace);
    await relay.prints(/"msg":"streaming from/);
    await database.query(block('sql'));
    await listener.prints(/signature verified\n {2}job\.completed {2}[\da-f-]{36} {2}\{"job_id": 42\}\n/, 'stdout');

    const sent = await walpost(
      [
        'send',
        'job.failed',
        '{"job_id": 12345678901234567890}',
        '--organization',
        '6f1c2a52-8c0e-4d6e-9a50-0d5d2f2f5f11',
      ],
      inPlace,
    );
    expect(sent).toMatchObject({ code: 0, stderr: '' });
    const id = /^Published job\.failed as ([\da-f-]{36})\.$/m.exec(sent.stdout)?.[1];
    await listener.prints(new RegExp(`job\\.failed {2}${id} {2}\\{"job_id": 12345678901234567890\\}\n`), 'stdout');
    listener.child.kill('SIGINT');
    expect((await listener.result()).code).toBe(0);
    relay.child.kill('SIGTERM');
    expect((await relay.result()).code).toBe(0);
  },
);
