import { columnMapping } from '../../src/postgres/source/column-mapping.ts';
import type { Event } from '../../src/event.ts';
import type { Step } from '../../src/pipeline.ts';
import { wireToText } from '../../src/wire-text.ts';
import type { TestDatabase } from './database.ts';
import { fieldsOf } from './sample-event.ts';

/** A table of somebody's own, with names that need quotes, an id that is a number, and no column that must be there. */
export const ODD_TABLE = '"My.Schema"."out, \'box\'"';
export const ODD_MAPPING = columnMapping({
  preset: 'walpost',
  columns: { event_id: 'id', organization_id: 'Tenant', event_type: 'kind', payload: 'body', event_version: 'version' },
});

export async function createOddOutbox(database: TestDatabase): Promise<void> {
  await database.query(`
    CREATE SCHEMA "My.Schema";
    CREATE TYPE "My.Schema"."Mood" AS ENUM ('so-so');
    CREATE TABLE ${ODD_TABLE} (
      id bigint, "Tenant" uuid, kind text, version int, topic text, entity_type text, entity_id numeric, target bool,
      idempotency_key bytea, body jsonb, headers json, created_at timestamptz, mood "My.Schema"."Mood" DEFAULT 'so-so');
    ALTER TABLE ${ODD_TABLE} REPLICA IDENTITY FULL;
    CREATE TABLE elsewhere (id int);
    CREATE PUBLICATION odd FOR TABLE ${ODD_TABLE} WITH (publish = 'insert')`);
}

const deep = `${'['.repeat(500)}1${']'.repeat(500)}`;

/** Texts that a parser would change, or trip over. */
export const ODD_PAYLOADS = [
  '9223372036854775808',
  '{"n": 0.10, "big": 12345678901234567890123456789.000}',
  '1e400',
  JSON.stringify({ text: 'x'.repeat(100 * 1024) }),
  '{"emoji": "👩‍🚀 größe", "key é": 1}',
  '"\u2028\u2029"',
  String.raw`{"quote": "\"", "slash": "\\", "tab": "\t", "u": "\u0007"}`,
  deep,
  '{}',
  '[]',
  'null',
  'true',
  '""',
];

/** Transactions of all kinds; every row that is not rolled back has an id, in the order of commits. */
export async function writeOddRows(database: TestDatabase): Promise<void> {
  const insert = `INSERT INTO ${ODD_TABLE} (id, "Tenant", kind, body) VALUES`;
  const tenant = `'3f1c7c9e-8a44-4f0e-9d4b-0a6f3f9f0001'`;
  for (const [index, payload] of ODD_PAYLOADS.entries()) {
    await database.query(`${insert} ($1, ${tenant}, 'odd', $2::jsonb)`, [index + 1, payload]);
  }
  await database.query(`
    BEGIN;
    ${insert} (101, ${tenant}, 'kept', '1');
    SAVEPOINT a;
    ${insert} (102, ${tenant}, 'undone', '2');
    ROLLBACK TO a;
    SAVEPOINT b;
    ${insert} (103, ${tenant}, 'kept', '3'), (104, ${tenant}, 'kept', '4');
    RELEASE b;
    INSERT INTO elsewhere VALUES (1);
    COMMIT;
    INSERT INTO elsewhere VALUES (2);
    UPDATE ${ODD_TABLE} SET kind = 'changed' WHERE id = 1;
    DELETE FROM ${ODD_TABLE} WHERE id = 2`);
  await database.query(
    `INSERT INTO ${ODD_TABLE} VALUES
       (9223372036854775807, ${tenant}, $1, 7, 'größe', 'thing', 0.10, true, '\\xdeadbeef', '{"a": 1.0}', E'{"b":\\n 2}',
        '2026-11-20 19:30:00.5+05:30'),
       (201, ${tenant}, 'late', 1, NULL, NULL, NULL, NULL, NULL, '{}', '{}', 'infinity'),
       (202, NULL, 'nobody', 1, NULL, NULL, NULL, NULL, NULL, '{}', '{}', now()),
       (203, ${tenant}, 'list', 1, NULL, NULL, NULL, NULL, NULL, '{}', '[]', '2026-11-20 14:00:00')`,
    ['say "7" \\ é\n'],
  );
  await database.query(
    `ALTER TABLE ${ODD_TABLE} ALTER COLUMN id TYPE text, DROP COLUMN topic, ADD COLUMN more int DEFAULT 5`,
  );
  await database.query(
    `INSERT INTO ${ODD_TABLE} (id, "Tenant", kind, body) VALUES ('é-1', ${tenant}, 'changed', '[1]')`,
  );
  await database.query(`ALTER TABLE ${ODD_TABLE} RENAME COLUMN body TO content`);
  await database.query(`INSERT INTO ${ODD_TABLE} (id, "Tenant", kind, content) VALUES ('301', ${tenant}, 'gone', '1')`);
}

/** Steps as plain values, without transactions that carry nothing and without sizes, in which the plugins may differ. */
export function comparable(steps: readonly Step[]): unknown[] {
  return steps.flatMap((step, index) => {
    if (step.kind === 'begin' && steps[index + 1]?.kind === 'commit') return [];
    if (step.kind === 'commit' && steps[index - 1]?.kind === 'begin') return [];
    return step.kind === 'event' ? [readable(fieldsOf(step))] : [step];
  });
}

function readable({ payload, headers, ...event }: Event): unknown {
  return { ...event, payload: wireToText(payload), headers: wireToText(headers), size: event.size > 0 };
}
