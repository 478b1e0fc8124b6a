/** What each database library must have made of tests/orms/publishing/run.mjs. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'vitest';
import type { LibraryScripts } from './library-run.ts';

const root = join(import.meta.dirname, '../..');

/** The package as it is now; and the command that `once` calls. */
export async function preparePublishing({ database }: LibraryScripts): Promise<void> {
  const compiler = join(root, 'node_modules/typescript/bin/tsc');
  await promisify(execFile)(process.execPath, [compiler, '-b', 'packages/client'], { cwd: root });
  await database.query(
    `CREATE FUNCTION public.echo(arguments jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT jsonb_build_object(''echo'', arguments)'`,
  );
}

export async function expectPublished(scripts: LibraryScripts, library: string): Promise<void> {
  const { organization, printed } = await scripts.publish(library);
  const result = JSON.parse(printed) as Record<string, unknown> & { readonly id: string; readonly ids: string[] };
  const refusal = { hint: expect.any(String) as string, message: expect.stringMatching(/^walpost/) as string };
  expect(result).toMatchObject({
    result: { echo: { a: ["'"] } },
    refused: { ...refusal, name: 'InvalidEventError', code: '22023' },
    noRelay: { ...refusal, name: 'NoRelayError', code: '55000' },
    outside: { ...refusal, name: 'NotInTransactionError', code: '25P01' },
    status: 'pending',
  });
  expect(printed).not.toContain('hunter2');
  const payload =
    '{"big": 1208925819614629174706176, "list": [1, {"a": null}], "text": "it\'s \\"$1\\" and ? and \\\\n größe", "secret": "hunter2"}';
  const one = { event_version: 2, entity_id: '7', headers: '{"n": 1}', payload };
  const plain = { event_version: 1, entity_id: null, headers: '{}', payload };
  expect(
    await scripts.database.query(
      `SELECT event_id, event_type, event_version, entity_id, headers::text, payload::text FROM walpost.outbox
        WHERE organization_id = $1 ORDER BY seq`,
      [organization],
    ),
  ).toEqual([
    { event_id: result.id, event_type: 'one', ...one },
    { event_id: result.ids[0], event_type: 'many', ...plain },
    { event_id: result.ids[1], event_type: 'many', ...plain, payload: '"text"' },
    { event_id: result['asked'], event_type: 'asked', ...plain },
  ]);
}
