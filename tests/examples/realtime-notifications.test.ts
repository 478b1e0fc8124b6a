/** examples/realtime-notifications, started as its README says, and used in a browser as a person would. */
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { chromiumMissing, launchChromium } from '../support/chromium.ts';
import { newClient } from '../support/client.ts';
import { ExampleRun } from '../support/example-run.ts';
import { RealtimeFake } from '../support/realtime-fake.ts';
import { poll } from '../support/slot-session.ts';

const missing = await chromiumMissing();
const ORGANIZATION = (n: number): string => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`;

/** The example, its owner's view of the database, and a browser. */
class Session implements AsyncDisposable {
  readonly run: ExampleRun;
  readonly owner: pg.Client;
  readonly browser: Browser;
  readonly contexts: BrowserContext[] = [];

  private constructor(run: ExampleRun, owner: pg.Client, browser: Browser) {
    this.run = run;
    this.owner = owner;
    this.browser = browser;
  }

  static async start(env: NodeJS.ProcessEnv = {}): Promise<Session> {
    const run = await ExampleRun.start('realtime-notifications', env);
    const owner = newClient({ connectionString: run.env['OWNER_URL'] });
    await owner.connect();
    return new Session(run, owner, await launchChromium());
  }

  async open(organization: number): Promise<Page> {
    const context = await this.browser.newContext({ viewport: { width: 900, height: 640 } });
    this.contexts.push(context);
    const page = await context.newPage();
    await page.goto(`http://127.0.0.1:${this.run.env['WEB_PORT']}/?organization=${organization}`);
    await page.waitForSelector('#state[data-state=live]');
    await page.waitForSelector('#jobs tr');
    return page;
  }

  async closePages(): Promise<void> {
    for (const context of this.contexts.splice(0)) await context.close();
  }

  /** Ids of the events of an organization, in no order. */
  async written(organization: number): Promise<string[]> {
    const { rows } = await this.owner.query<{ event_id: string }>(
      'SELECT event_id FROM walpost.outbox WHERE organization_id = $1',
      [ORGANIZATION(organization)],
    );
    return rows.map(({ event_id }) => event_id);
  }

  /** A click is answered before the application has committed what it asks for. */
  async created(organization: number): Promise<number> {
    const { rows } = await this.owner.query<{ count: number }>(
      `SELECT count(*)::integer AS count FROM walpost.outbox WHERE organization_id = $1 AND event_type = 'job.created'`,
      [ORGANIZATION(organization)],
    );
    return rows[0]?.count ?? 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.browser.close();
    await this.owner.end();
    await this.run[Symbol.asyncDispose]();
  }
}

/** What the page has received, each id as often as its handlers were called. */
const received = (page: Page): Promise<[string, number][]> => page.evaluate('[...received]');

async function untilReceived(page: Page, count: number): Promise<void> {
  await poll('events', async () => ((await received(page)).length >= count ? true : undefined), 60_000);
}

const numberIn = async (page: Page, id: string): Promise<number> =>
  Number((await page.textContent(`#${id}`))?.replaceAll(',', ''));

describe.skipIf(missing)(`on the live channel ${missing ?? ''}`, () => {
  let session: Session;
  beforeAll(async () => {
    session = await Session.start();
  }, 120_000);
  afterEach(() => session.closePages());
  afterAll(() => session[Symbol.asyncDispose]());

  test('a change is a toast, a badge and a new list in each page of its organization, and in no other', async () => {
    const [page, colleague, other] = [await session.open(1), await session.open(1), await session.open(2)];
    await page.click('#create');
    for (const seen of [page, colleague]) {
      await seen.waitForSelector('#toasts li:has-text("1 job created")');
      await seen.waitForSelector('#jobs tr:has-text("Letters, a new volume")');
      expect(await seen.textContent('#badge')).toBe('1');
    }
    await page.click('#bell');
    expect(await page.isVisible('#badge')).toBe(false);
    await other.click('#create');
    await untilReceived(other, 1);
    expect([(await received(page)).length, (await received(other)).length]).toEqual([1, 1]);
  });

  test('a change of 5,000 rows is one toast, and a handful of reads of the list', async () => {
    const page = await session.open(1);
    const before = await numberIn(page, 'reads');
    await page.click('#change-all');
    await untilReceived(page, 5_000);
    await page.waitForSelector('#toasts li:has-text("jobs changed")');
    await page.waitForFunction(`/^5,00\\d completed$/.test(document.getElementById('counts').textContent)`);
    expect((await numberIn(page, 'reads')) - before).toBeLessThanOrEqual(6);
  });

  test(
    'walpost is killed in the middle of a bulk change: the page has every event once',
    { timeout: 120_000 },
    async () => {
      const page = await session.open(1);
      const old = new Set(await session.written(1));
      const createdBefore = await session.created(1);
      await page.click('#create');
      await untilReceived(page, 1);
      await page.click('#change-all');
      await session.run.kill('walpost');
      await page.click('#create');
      await page.waitForFunction(`document.getElementById('state').dataset.state !== 'live'`);
      await page.waitForSelector('#state[data-state=live]', { timeout: 60_000 });
      await page.click('#create');
      const written = async () => (await session.written(1)).filter((id) => !old.has(id));
      await poll('all that was clicked', async () =>
        (await session.created(1)) === createdBefore + 3 && (await written()).length > 5_000 ? true : undefined,
      );
      const fresh = new Set(await written());
      // What walpost had delivered to earlier pages and not yet confirmed comes again after a kill, to this page too.
      const freshOnes = async () => (await received(page)).filter(([id]) => fresh.has(id));
      await poll('every event', async () => ((await freshOnes()).length === fresh.size ? true : undefined), 60_000);
      const counted = await received(page);
      expect(counted.filter(([, times]) => times !== 1)).toEqual([]);
      expect(counted.filter(([id]) => !fresh.has(id) && !old.has(id))).toEqual([]);
    },
  );

  test('what is approved offline is sent once the network is back, once each', async () => {
    const page = await session.open(2);
    const context = page.context();
    await context.setOffline(true);
    for (const row of [1, 2]) await page.click(`#jobs tr:nth-child(${row}) button`);
    await page.waitForSelector('#waiting:has-text("2 to be sent")');
    const approved = async () => {
      const { rows } = await session.owner.query<{ count: number }>(
        'SELECT count(*)::integer AS count FROM app.approvals',
      );
      return rows[0]?.count;
    };
    expect(await approved()).toBe(0);
    await context.setOffline(false);
    await page.waitForFunction(`document.getElementById('waiting').textContent === ''`);
    await page.waitForFunction(`document.querySelectorAll('#jobs button:disabled').length === 2`);
    expect(await approved()).toBe(2);
  });

  test('the application is killed: its page goes on, and reads when it is back', { timeout: 60_000 }, async () => {
    const page = await session.open(2);
    await session.run.kill('application');
    await session.owner.query(`INSERT INTO app.jobs (organization_id, title) VALUES ($1, 'Letters, from elsewhere')`, [
      ORGANIZATION(2),
    ]);
    await page.waitForSelector('#jobs tr:has-text("Letters, from elsewhere")', { timeout: 30_000 });
  });
});

test.skipIf(missing)('on Supabase 5,000 rows are a handful of messages', { timeout: 180_000 }, async () => {
  const everything = { read: () => true, write: () => true };
  const [service, secret] = [randomUUID(), randomUUID() + randomUUID()];
  // The tokens of pages are not known before they are made.
  const keys = new Proxy({}, { get: () => everything }) as Record<string, typeof everything>;
  await using fake = await RealtimeFake.start({ keys });
  await using session = await Session.start({
    SUPABASE_URL: fake.url,
    SUPABASE_SERVICE_ROLE_KEY: service,
    SUPABASE_ANON_KEY: 'public',
    SUPABASE_JWT_SECRET: secret,
  });
  const [page, other] = [await session.open(1), await session.open(2)];
  await page.click('#change-all');
  await untilReceived(page, 5_000);
  expect((await received(page)).map(([id]) => id).toSorted()).toEqual((await session.written(1)).toSorted());
  expect([(await received(other)).length, fake.requests.length <= 12]).toEqual([0, true]);
});
