/** The subscriber and the offline queue in Chromium: the real live channel, the real IndexedDB, two tabs. */
import { createServer, type Server } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Event } from '../../src/event.ts';
import { bundleForBrowsers } from '../support/browser-bundle.ts';
import { chromiumMissing, launchChromium } from '../support/chromium.ts';
import { LiveChannelFixture } from '../support/live-channel.ts';
import { liveToken } from '../support/live-reader.ts';
import { plainOrigin } from '../support/plain-origin.ts';
import { requestBody } from '../support/request-body.ts';
import { sampleBatch, sampleEvent, type SampleFields } from '../support/sample-event.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';

const ORGANIZATION = '3f1c7c9e-8a44-4f0e-9d4b-0a6f3f9f0001';
const never = new AbortController().signal;

const SOURCE = `
export * from './packages/consumer/src/subscribe/index.ts';
export * from './packages/consumer/src/offline/index.ts';
export * from './packages/consumer/src/offline/indexed-db-store.ts';`;

/** What the page of the queue does; \`queue\` is a variable of the window. */
const QUEUE = `window.dropped = [];
window.queue = walpost.createOfflineQueue({
  store: walpost.indexedDbStore(),
  retry: { base: 600_000, most: 600_000 },
  send: async ({ id, data }) => {
    const answer = await fetch('/send', { method: 'POST', headers: { 'idempotency-key': id }, body: JSON.stringify(data) });
    if (answer.status === 422) throw new walpost.PermanentError('refused');
    if (!answer.ok) throw new Error(String(answer.status));
  },
  onDrop: ({ data }, reason) => dropped.push([data, reason]),
  onChange: (waiting) => (window.waiting = waiting),
});`;

/** Serves the page, and takes what it sends. */
class Site implements AsyncDisposable {
  readonly received: { readonly key: string; readonly data: unknown }[] = [];
  private readonly server: Server;
  private held: (() => void)[] | undefined;

  private constructor(script: string) {
    this.server = createServer((request, response) => {
      if (request.url !== '/send') {
        response.setHeader('content-type', 'text/html; charset=utf-8');
        response.end(`<!doctype html><title>test</title><script>${script}</script>`);
        return;
      }
      void requestBody(request).then(async (body) => {
        if (body === null) return;
        this.received.push({ key: String(request.headers['idempotency-key']), data: JSON.parse(body.toString()) });
        if (this.held) await new Promise<void>((resolve) => this.held?.push(resolve));
        response.end();
      });
    });
  }

  static async start(script: string): Promise<Site> {
    const site = new Site(script);
    site.server.listen(0, '127.0.0.1');
    await once(site.server, 'listening');
    return site;
  }

  get origin(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  /** Answers are kept back until the function that is given back is called. */
  hold(): () => void {
    const held: (() => void)[] = [];
    this.held = held;
    return () => {
      this.held = undefined;
      for (const answer of held) answer();
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

async function send(channel: LiveChannelFixture, ...fields: SampleFields[]): Promise<string[]> {
  const events: Event[] = fields.map((each) => sampleEvent({ origin: plainOrigin({ commitLsn: 100n }), ...each }));
  await channel.sink.deliver(sampleBatch(events), never);
  return events.map(({ eventId }) => eventId);
}

const missing = await chromiumMissing();
describe.skipIf(missing)(`in Chromium ${missing ?? ''}`, () => {
  let browser: Browser;
  let site: Site;
  beforeAll(async () => {
    site = await Site.start((await bundleForBrowsers({ source: SOURCE, name: 'walpost' })).text);
    browser = await launchChromium();
  });
  afterAll(async () => {
    await browser.close();
    await site[Symbol.asyncDispose]();
  });

  /** A page in a profile of its own, which forgets nothing until the context is closed. */
  async function open(context?: BrowserContext): Promise<Page> {
    const page = await (context ?? (await browser.newContext())).newPage();
    await page.goto(site.origin);
    return page;
  }

  test('a page of another origin waits for as long as Retry-After says', async () => {
    await using channel = await LiveChannelFixture.start({ config: { origins: [site.origin] } });
    channel.hub.close('not_leader');
    const page = await open();
    const token = await liveToken({ organization: ORGANIZATION });
    await page.evaluate(`
      window.waits = [];
      window.subscriber = walpost.createSubscriber({
        source: walpost.liveSource({ url: 'http://127.0.0.1:${channel.port}/live', token: () => '${token}' }),
        retry: { base: 50, most: 50 },
      });
      subscriber.subscribe('${ORGANIZATION}', {
        onStatus: ({ state, why, retryIn }) => state === 'waiting' && waits.push([why, retryIn >= 2_000]),
      });`);
    await page.waitForFunction('waits.length >= 1');
    expect(await page.evaluate('waits[0]')).toEqual(['the live channel answered 503', true]);
    await page.evaluate('subscriber.close()');
  });

  describe.each([
    ['fetch', ''],
    ['EventSource', `eventSource: EventSource, types: ['job.completed']`],
  ])('the live channel with %s', (_, more) => {
    test('is one connection of two subscribers, goes on after a cut without loss, and resets when it must', async () => {
      const config = { origins: [site.origin], ring_events: 5 };
      await using channel = await LiveChannelFixture.start({ config });
      await using front = await TcpProxy.start({ host: '127.0.0.1', port: channel.port });
      const page = await open();
      const token = await liveToken({ organization: ORGANIZATION });
      await page.evaluate(`
        window.told = []; window.others = []; window.states = [];
        window.subscriber = walpost.createSubscriber({
          source: walpost.liveSource({ url: 'http://127.0.0.1:${front.port}/live', token: () => '${token}', ${more} }),
          retry: { base: 50, most: 50 },
        });
        subscriber.subscribe('${ORGANIZATION}', {
          events: { 'job.*': ({ event_id }) => told.push(event_id) },
          onReset: () => told.push('reset'),
          onStatus: ({ state }) => states.push(state),
        });
        subscriber.subscribe('${ORGANIZATION}', { events: { '*': ({ event_id }) => others.push(event_id) } });`);
      const told = async (count: number) => {
        await page.waitForFunction(`told.length >= ${count}`);
        return page.evaluate('told');
      };
      const waits = (count: number) =>
        page.waitForFunction(`states.filter((state) => state === 'waiting').length >= ${count}`);
      const cut = async (count: number) => {
        front.redirect({ host: '127.0.0.1', port: 1 });
        front.cut();
        await waits(count);
      };
      await told(1);
      expect(channel.hub.connections).toBe(1);
      const first = await send(channel, {}, {});
      expect(await told(3)).toEqual(['reset', ...first]);

      await cut(1);
      const missed = await send(channel, {}, {});
      front.redirect({ host: '127.0.0.1', port: channel.port });
      expect(await told(5)).toEqual(['reset', ...first, ...missed]);

      await page.waitForFunction(`states.at(-1) === 'live'`);
      const before = (await page.evaluate(`states.filter((state) => state === 'waiting').length`)) as number;
      await cut(before + 1);
      await send(channel, ...Array.from({ length: 8 }, () => ({})));
      front.redirect({ host: '127.0.0.1', port: channel.port });
      expect(await told(6)).toEqual(['reset', ...first, ...missed, 'reset']);
      const last = await send(channel, {});
      expect(await told(7)).toEqual(['reset', ...first, ...missed, 'reset', ...last]);
      expect(await page.evaluate('others')).toEqual([...first, ...missed, ...last]);
      await page.evaluate('subscriber.close()');
      await channel.until(() => channel.hub.connections === 0);
      await page.context().close();
    });
  });

  describe('the offline queue', () => {
    const keysOf = (ids: readonly unknown[]) =>
      site.received.filter(({ key }) => ids.includes(key)).map(({ key }) => key);

    test('keeps what is added while offline, also over a restart of the page, and sends it by itself', async () => {
      const page = await open();
      const context = page.context();
      await page.evaluate(QUEUE);
      await context.setOffline(true);
      const ids = (await page.evaluate(`Promise.all([1, 2].map((n) => queue.add({ n })))`)) as string[];
      expect(await page.evaluate('waiting')).toBe(2);
      await page.close();
      await context.setOffline(false);
      const next = await open(context);
      await context.setOffline(true);
      await next.evaluate(QUEUE);
      ids.push(await next.evaluate('queue.add({ n: 3 })'));
      await context.setOffline(false);
      await next.waitForFunction('waiting === 0');
      expect(keysOf(ids)).toEqual(ids);
      await context.close();
    });

    test('sends once each from two tabs, also what is added while another tab sends', async () => {
      const page = await open();
      const context = page.context();
      const other = await open(context);
      const release = site.hold();
      await page.evaluate(QUEUE);
      await other.evaluate(QUEUE);
      const ids = (
        await Promise.all(
          [page, other].map((tab, place) =>
            tab.evaluate(`Promise.all(Array.from({ length: 10 }, (_, n) => queue.add({ place: ${place}, n })))`),
          ),
        )
      ).flat() as string[];
      while (keysOf(ids).length === 0) await new Promise((resolve) => setImmediate(resolve));
      expect(keysOf(ids)).toHaveLength(1);
      release();
      await Promise.all([page, other].map((tab) => tab.evaluate('queue.flush()')));
      expect(keysOf(ids).toSorted()).toEqual(ids.toSorted());
      expect(await other.evaluate('queue.waiting()')).toEqual([]);
      for (const tab of [page, other]) expect(await tab.evaluate('waiting')).toBe(0);
      await context.close();
    });

    test('a tab that is closed while it sends leaves its items to the other, with the same ids', async () => {
      const page = await open();
      const context = page.context();
      const other = await open(context);
      const release = site.hold();
      await page.evaluate(QUEUE);
      const [id] = (await page.evaluate('Promise.all([queue.add({ last: 1 }), queue.add({ last: 2 })])')) as string[];
      // From here on it is this tab that sends.
      while (keysOf([id]).length === 0) await new Promise((resolve) => setImmediate(resolve));
      await other.evaluate(QUEUE);
      await page.close();
      release();
      await other.evaluate('queue.flush()');
      expect(keysOf([id])).toEqual([id, id]);
      await context.close();
    });
  });
});
