import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { SinkConfigOf } from '../../src/config/sinks/sinks.ts';
import { sinkSchema } from '../../src/config/sinks/sinks.ts';
import type { EmbeddedPostgres } from '../../src/demo/postgres/embedded-postgres.ts';
import { envelopeOf } from '../../src/envelope.ts';
import type { Event } from '../../src/event.ts';
import type { Sink, Verdict } from '../../src/pipeline.ts';
import { createPostgresSink } from '../../src/sinks/postgres/postgres-sink.ts';
import { wireToText } from '../../src/wire-text.ts';
import { contractContext, describeSinkContract } from '../contract/sink-contract.ts';
import { newClient } from '../support/client.ts';
import { sampleBatch, sampleEvent } from '../support/sample-event.ts';
import { startServer } from '../support/server.ts';
import { poll } from '../support/slot-session.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';

const INBOX = readFileSync(join(import.meta.dirname, '../../sql/inbox/walpost_inbox.sql'), 'utf8');
const never = (): AbortSignal => new AbortController().signal;
const samples = (count: number): Event[] => Array.from({ length: count }, () => sampleEvent());
const ids = (events: readonly Event[]): string[] => events.map(({ eventId }) => eventId);

function sinkOf(url: string, options: Readonly<Record<string, unknown>> = {}): Sink {
  const config = sinkSchema.parse({ type: 'postgres', url, ...options }) as SinkConfigOf<'postgres'>;
  return createPostgresSink(config, contractContext);
}

async function deliver(sink: Sink, events: readonly Event[]): Promise<readonly Verdict[]> {
  const verdicts = await sink.deliver(sampleBatch(events), never());
  return Array.isArray(verdicts) ? (verdicts as readonly Verdict[]) : events.map(() => verdicts as Verdict);
}

describe('postgres', () => {
  let server: EmbeddedPostgres;
  let admin: pg.Client;
  const connectAdmin = async (): Promise<void> => {
    admin = newClient(server.url());
    await admin.connect();
  };
  beforeAll(async () => {
    server = await startServer('17');
    await connectAdmin();
  });
  afterAll(async () => {
    await admin.end();
    await server[Symbol.asyncDispose]();
  });
  beforeEach(async () => {
    await admin.query(`DROP TABLE IF EXISTS public.walpost_inbox; ${INBOX}`);
  });

  const inbox = async (): Promise<string[]> => {
    const { rows } = await admin.query<{ event_id: string }>('SELECT event_id FROM walpost_inbox ORDER BY seq');
    return rows.map(({ event_id }) => event_id);
  };
  const sessions = async (condition = 'true'): Promise<number> => {
    const { rows } = await admin.query<{ n: number }>(
      `SELECT count(*)::int AS n FROM pg_stat_activity WHERE application_name LIKE 'walpost sink%' AND ${condition}`,
    );
    return rows[0]?.n ?? 0;
  };

  describeSinkContract('postgres', async () => {
    const locker = newClient(server.url());
    await locker.connect();
    return {
      sink: sinkOf(server.url()),
      received: async () => {
        const { rows } = await admin.query<{ envelope: string }>(
          'SELECT envelope::text AS envelope FROM walpost_inbox ORDER BY seq',
        );
        return Buffer.from(rows.map(({ envelope }) => envelope).join(''));
      },
      hang: async () => {
        await locker.query('BEGIN; LOCK TABLE walpost_inbox IN SHARE MODE');
        return true;
      },
      asked: async () =>
        void (await poll('a write waits', async () => (await sessions("wait_event_type = 'Lock'")) > 0 || undefined)),
      fail: async () => {
        await admin.query(`ALTER TABLE walpost_inbox ADD CHECK (envelope ->> 'topic' <> 'cataloging')`);
        return true;
      },
      released: async () => {
        await locker.query('ROLLBACK');
        await poll('no session is open', async () => (await sessions()) === 0 || undefined);
      },
      secrets: ['"n": 1', new URL(server.url()).password || 'no-password-here'],
      [Symbol.asyncDispose]: () => locker.end(),
    };
  });

  test('an event that comes again is dropped, also between new ones', async () => {
    const sink = sinkOf(server.url());
    const events = samples(4);
    await deliver(sink, events.slice(0, 2));
    expect(await deliver(sink, events)).toEqual(events.map(() => ({ kind: 'delivered' })));
    expect(await inbox()).toEqual(ids(events));
    await sink.close();
  });

  test('texts that an array would quote come through as they are', async () => {
    const sink = sinkOf(server.url());
    const texts = ['a,b', 'say "no"', 'back\\slash', '{braces}', 'NULL', ' blanks ', '', 'é€😀'];
    const events = texts.map((text) =>
      sampleEvent({ eventId: `id ${text}`, eventType: text, topic: text, payload: JSON.stringify({ text }) }),
    );
    expect(await sink.deliver(sampleBatch(events), never())).toEqual({ kind: 'delivered' });
    const { rows } = await admin.query(
      'SELECT event_id, event_type, topic, envelope::text AS envelope FROM walpost_inbox ORDER BY seq',
    );
    expect(rows).toEqual(
      events.map((event) => ({
        event_id: event.eventId,
        event_type: event.eventType,
        topic: event.topic,
        envelope: wireToText(envelopeOf(event)),
      })),
    );
    await sink.close();
  });

  test('an event that the receiver refuses stands alone, and nothing overtakes it', async () => {
    await admin.query(`ALTER TABLE walpost_inbox ADD CHECK (event_type <> 'bad')`);
    const sink = sinkOf(server.url());
    const events = samples(20).map((event, at) => (at === 13 ? sampleEvent({ eventType: 'bad' }) : event));
    const verdicts = await deliver(sink, events);
    expect(verdicts.map(({ kind }) => kind)).toEqual(
      events.map((_, at) => (at < 13 ? 'delivered' : at === 13 ? 'failed' : 'unavailable')),
    );
    expect(verdicts[13]).toMatchObject({
      code: 'SQLSTATE_23514',
      reason: 'the database refused the event (SQLSTATE 23514)',
    });
    expect(await inbox()).toEqual(ids(events.slice(0, 13)));
    await sink.close();
  });

  test('a commit whose answer is lost is found again: exactly once', async () => {
    await using proxy = await TcpProxy.before(server.url());
    const through = sinkOf(proxy.url(server.url()));
    const warm = samples(1);
    await deliver(through, warm);
    const locker = newClient(server.url());
    await locker.connect();
    await locker.query('BEGIN; LOCK TABLE walpost_inbox IN SHARE MODE');
    const events = samples(30);
    const lost = deliver(through, events);
    await poll('the statement waits', async () => (await sessions("wait_event_type = 'Lock'")) > 0 || undefined);
    proxy.hold();
    await locker.query('COMMIT');
    await poll('it has committed', async () => (await inbox()).length === 31 || undefined);
    proxy.forward();
    proxy.cut();
    const [answer] = await lost;
    expect(answer).toBeDefined();
    const direct = sinkOf(server.url());
    expect((await deliver(direct, events)).every(({ kind }) => kind === 'delivered')).toBe(true);
    expect(await inbox()).toEqual(ids([...warm, ...events]));
    await Promise.all([through.close(), direct.close(), locker.end()]);
  });

  test.for([
    ['no such table', { table: 'public.missing' }, 'SQLSTATE_42P01'],
    ['no such schema', { table: '"my schema".inbox' }, 'SQLSTATE_42P01'],
  ] as const)('%s is unavailable, and says what to do', async ([, options, code]) => {
    const sink = sinkOf(server.url(), options);
    expect((await deliver(sink, samples(2)))[0]).toMatchObject({ kind: 'unavailable', code });
    await sink.close();
  });

  test('an error that one row may have caused says that the database answered', async () => {
    await admin.query(`
      CREATE OR REPLACE FUNCTION pg_temp.refuse() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = 'insufficient_privilege'; END $$;
      CREATE TRIGGER refuse BEFORE INSERT ON walpost_inbox FOR EACH ROW EXECUTE FUNCTION pg_temp.refuse()`);
    const sink = sinkOf(server.url());
    expect(await deliver(sink, samples(1))).toMatchObject([
      { kind: 'unavailable', code: 'SQLSTATE_42501', answered: true },
    ]);
    await sink.close();
  });

  test('a table of any name is written', async () => {
    await admin.query(`DROP SCHEMA IF EXISTS "My ""Schema" CASCADE; CREATE SCHEMA "My ""Schema"`);
    await admin.query(INBOX.replaceAll('public.walpost_inbox ', '"My ""Schema"."In.box" ').split('\n\n')[0] ?? '');
    const sink = sinkOf(server.url(), { table: '"My ""Schema"."In.box"' });
    expect((await deliver(sink, samples(2))).map(({ kind }) => kind)).toEqual(['delivered', 'delivered']);
    await sink.close();
  });

  test('sessions that are ended and a full server are unavailable, and recover', async () => {
    const sink = sinkOf(server.url());
    await deliver(sink, samples(1));
    await admin.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'walpost sink%'`,
    );
    await poll('they are gone', async () => (await sessions()) === 0 || undefined);
    const events = samples(2);
    await poll('it is written again', async () => {
      const verdicts = await deliver(sink, events);
      for (const verdict of verdicts) expect(['delivered', 'unavailable']).toContain(verdict.kind);
      return verdicts.every(({ kind }) => kind === 'delivered') || undefined;
    });
    await admin.query(`CREATE ROLE narrow LOGIN CONNECTION LIMIT 0 PASSWORD 'narrow'`);
    const narrow = new URL(server.url());
    narrow.username = 'narrow';
    narrow.password = 'narrow';
    const limited = sinkOf(narrow.href);
    expect((await deliver(limited, samples(1)))[0]).toMatchObject({ kind: 'unavailable', code: 'SQLSTATE_53300' });
    await limited.close();
    await admin.query('DROP ROLE narrow');
    await sink.close();
  });

  test('a server that restarts is unavailable, and used again once it is back', async () => {
    const sink = sinkOf(server.url());
    const events = samples(3);
    await deliver(sink, events.slice(0, 1));
    await server.stop('immediate');
    for (const verdict of await deliver(sink, events)) expect(verdict.kind).toBe('unavailable');
    await server.start();
    await connectAdmin();
    expect((await deliver(sink, events)).every(({ kind }) => kind === 'delivered')).toBe(true);
    expect(await inbox()).toEqual(ids(events));
    await sink.close();
  });

  test('a port where nobody listens is unavailable', async () => {
    const away = new URL(server.url());
    away.port = '1';
    const sink = sinkOf(away.href);
    expect((await deliver(sink, samples(1)))[0]).toMatchObject({ kind: 'unavailable', code: 'SERVER_UNREACHABLE' });
    await sink.close();
  });
});
