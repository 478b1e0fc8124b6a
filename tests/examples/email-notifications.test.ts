/** examples/email-notifications, started as its README says, and used as a person would. */
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type pg from 'pg';
import PostalMime, { type Email } from 'postal-mime';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { newClient } from '../support/client.ts';
import { ExampleRun } from '../support/example-run.ts';
import { ResendFake } from '../support/resend-fake.ts';
import { poll } from '../support/slot-session.ts';

const FOLDER = join(import.meta.dirname, '../../examples/email-notifications');
const EVENT_ID = /[\da-f]{8}-[\da-f-]{27}/;

/** The id that the script has printed. */
async function queue(run: ExampleRun, ...command: [script: string, ...args: string[]]): Promise<string> {
  const { code, output } = await run.npmRun(...command);
  expect([code, output]).toEqual([0, expect.stringMatching(EVENT_ID)]);
  return EVENT_ID.exec(output)?.[0] ?? '';
}

async function asOwner(run: ExampleRun): Promise<pg.Client> {
  const client = newClient({ connectionString: run.env['OWNER_URL'] });
  await client.connect();
  return client;
}

describe('by SMTP', () => {
  let run: ExampleRun;
  let owner: pg.Client;
  beforeAll(async () => {
    run = await ExampleRun.start('email-notifications');
    owner = await asOwner(run);
  }, 120_000);
  afterAll(async () => {
    await owner.end();
    await run[Symbol.asyncDispose]();
  });

  const mailOf = (eventId: string): Promise<Email> =>
    poll('the mail', async () => {
      const name = readdirSync(join(FOLDER, 'caught')).find((file) => file.includes(eventId) && !file.startsWith('.'));
      return name === undefined ? undefined : PostalMime.parse(readFileSync(join(FOLDER, 'caught', name)));
    });
  const untilReported = async (pattern: RegExp): Promise<string> => {
    let report = '';
    await poll(String(pattern), async () => {
      ({ output: report } = await run.npmRun('report'));
      return pattern.test(report) || undefined;
    }).catch((error: Error) => expect.fail(`${error.message}; the last report:\n${report}`));
    return report;
  };

  test('a login link that is queued in SQL, and opens once', async () => {
    const mail = await mailOf(await queue(run, 'magic-link', 'ada@example.com'));
    expect(mail).toMatchObject({
      subject: 'Your login link',
      from: { address: 'no-reply@hotel.example.com' },
      to: [{ address: 'ada@example.com' }],
    });
    const link = /https:\/\/hotel\.example\.com\/login\/([\da-f]{64})/;
    const token = link.exec(mail.text ?? '')?.[1];
    expect(link.exec(mail.html ?? '')?.[1]).toBe(token);
    const open = async (): Promise<unknown> =>
      (await owner.query('SELECT app.open_magic_link($1) AS email', [token])).rows;
    expect(await open()).toEqual([{ email: 'ada@example.com' }]);
    expect(await open()).toEqual([{ email: null }]);
  });

  test('a booking that is queued in TypeScript, with what a guest wrote as text', async () => {
    const mail = await mailOf(await queue(run, 'booking', 'ada@example.com', 'Ada <b>& Zoë'));
    expect(mail.subject).toMatch(/^Your booking H-\d+: 14 March 2027$/);
    expect(mail.text).toContain('Dear Ada <b>& Zoë,');
    expect(mail.text).toContain('Arrival: Sunday, 14 March 2027');
    expect(mail.html).toContain('Dear Ada &lt;b&gt;&amp; Zoë,');
  });

  test('walpost and the mail server are killed: no mail is lost', { timeout: 120_000 }, async () => {
    const queued = run.npmRun('booking', 'ada@example.com', 'Ada', '400');
    const sent = (count: number): Promise<true> =>
      poll('mails', async () => readdirSync(join(FOLDER, 'caught')).length >= count || undefined, 60_000);
    await sent(40);
    await run.kill('mail-server');
    await sent(80);
    await run.kill('walpost');
    await run.kill('mail-server');
    expect(await queued).toMatchObject({ code: 0 });
    const { code, output } = await run.npmRun('audit');
    expect(output).toMatch(/^402 mails: 0 lost, \d+ sent twice, 0 dead letters$/m);
    expect(code).toBe(0);
  });

  test('an address that is refused for now is tried again, and one that is refused for good is not', async () => {
    const later = await queue(run, 'magic-link', 'greylisted@example.com');
    expect(await mailOf(later)).toMatchObject({ to: [{ address: 'greylisted@example.com' }] });
    const never = await queue(run, 'magic-link', 'unknown@example.com');
    const errors = /^ +mail +rejected +magic_link\.requested +1 +the mail server refused the recipient \(550\)$/m;
    const report = await untilReported(errors);
    expect(report).toMatch(/^ +dead +mail +1 /m);
    const stepsOf = async (id: string): Promise<string[]> =>
      (await run.npmRun('timeline', id)).output
        .split('\n')
        .slice(1)
        .map((line) => line.trim().split(/ +/)[1] ?? '');
    expect((await stepsOf(later)).filter(Boolean)).toEqual(['created', 'failed', 'delivered']);
    expect((await stepsOf(never)).filter(Boolean)).toEqual(['created', 'rejected', 'dead']);
  });

  test(
    'an outage: more than 100 mails wait, an old link is not sent, and the rest arrives',
    { timeout: 120_000 },
    async () => {
      writeFileSync(join(FOLDER, 'outage'), '');
      await run.npmRun('booking', 'ada@example.com', 'Ada', '110');
      const { rows } = await owner.query<{ id: string }>(
        `SELECT app.queue_notification('magic_link.requested', 'ada@example.com', '{"link": "-"}', expires_at => clock_timestamp() + interval '1 second') AS id`,
      );
      await untilReported(/^ +parked +mail +11\d [^]*^ +warning +waiting +sink mail +11\d +100$/m);
      rmSync(join(FOLDER, 'outage'));
      expect(await run.npmRun('audit')).toMatchObject({
        code: 0,
        output: expect.stringMatching(/ 0 lost, .*, 2 dead/) as string,
      });
      const letters = await owner.query('SELECT reason FROM walpost.dead_letters WHERE event_id = $1', [rows[0]?.id]);
      expect(letters.rows).toEqual([{ reason: 'expired' }]);
      await untilReported(/^Alerts(?:(?! waiting )[^])*^Event log/m);
    },
  );

  test('more than ten permanent failures within an hour are an alert', async () => {
    await owner.query(
      `SELECT app.queue_notification('magic_link.requested', 'unknown' || n || '@example.com', '{"link": "-"}') FROM generate_series(1, 9) AS n`,
    );
    await untilReported(/^ +warning +dead_letters +sink mail +11 +10$/m);
  });

  test('what was mailed is redacted: no login link stays in the outbox', async () => {
    const links = `SELECT FROM walpost.outbox AS o WHERE payload ? 'link'
                      AND NOT EXISTS (SELECT FROM walpost.dead_letters AS d WHERE d.event_id = o.event_id::text)`;
    expect((await owner.query(links)).rowCount).toBeGreaterThan(0);
    await poll('no link', async () => {
      await run.npmRun('walpost', 'prune');
      return (await owner.query(links)).rowCount === 0 || undefined;
    });
  });

  test('the audit finds what is lost', async () => {
    const mails = readdirSync(join(FOLDER, 'caught')).toSorted();
    rmSync(join(FOLDER, 'caught', mails.at(-1) ?? ''));
    const { code, output } = await run.npmRun('audit', '1');
    expect(output).toMatch(/: 1 lost, \d+ sent twice, 11 dead letters$/m);
    expect(code).toBe(1);
  });
});

test('with a key of Resend, mails go there, each once, also when an answer is lost', { timeout: 120_000 }, async () => {
  await using fake = await ResendFake.start();
  await using run = await ExampleRun.start('email-notifications', {
    RESEND_API_KEY: ResendFake.key,
    WALPOST__SINKS__MAIL__URL: fake.url,
    WALPOST__SINKS__MAIL__ALLOW_PRIVATE: 'true',
  });
  fake.answerNext('late'); // the mail is sent, and the answer is lost
  const ids = [await queue(run, 'booking', 'ada@example.com', 'Ada')];
  await fake.received(2);
  await run.kill('walpost');
  ids.push(await queue(run, 'magic-link', 'ada@example.com'));
  await poll('two mails', async () => fake.mails.length >= 2 || undefined);
  expect(new Set(fake.requests.map(({ key }) => key))).toEqual(new Set(ids.map((id) => `mail.${id}`)));
  expect(fake.mails.map(({ to, subject }) => [to, subject])).toEqual([
    [['ada@example.com'], 'Your booking H-1: 14 March 2027'],
    [['ada@example.com'], 'Your login link'],
  ]);
});
