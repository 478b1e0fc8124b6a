/** Platforms that call a function from Request to Response: Deno, as in Supabase Edge Functions, and a route of Next. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { expect, test } from 'vitest';
import { createWebhookHandler, memoryDedupe } from '../../packages/consumer/src/index.ts';
import { compiled } from '../support/compiled.ts';
import { installedPackages } from '../support/installed-packages.ts';
import { sampleEvent } from '../support/sample-event.ts';
import { SECRET, signedWebhook } from '../support/signed-webhook.ts';

const CONSUMER = compiled(join(import.meta.dirname, '../../packages/consumer/src'));
const ROOT = dirname(dirname(dirname(dirname(CONSUMER))));
const counted = (n: number) => sampleEvent({ eventType: 'counted', payload: JSON.stringify({ n }) });

test('Deno.serve takes the handler as it is', { timeout: 600_000 }, async () => {
  // The package's own command starts Deno as a child, which would outlive it when it is killed.
  const require = createRequire(join(await installedPackages('frameworks'), 'package.json'));
  const deno = (require('deno/install_api.cjs') as { runInstall(): string }).runInstall();
  const script = join(import.meta.dirname, 'deno-receiver.mjs');
  const rights = ['--no-prompt', '--no-remote', '--allow-env', '--allow-net=127.0.0.1', `--allow-read=${ROOT}`];
  const child = spawn(deno, ['run', ...rights, script], {
    env: { PATH: process.env['PATH'], DENO_NO_UPDATE_CHECK: '1', SECRET, CONSUMER },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = once(child, 'exit');
  try {
    const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
    const next = async () => String((await lines.next()).value);
    const url = `http://127.0.0.1:${/^port (\d+)$/.exec(await next())?.[1]}/`;
    const send = async (init: RequestInit) => {
      const answer = await fetch(url, init);
      return [answer.status, await answer.json()] as const;
    };
    const event = counted(7);
    expect(await send(signedWebhook([event]))).toEqual([200, { handled: 1, repeated: [], unknown: [] }]);
    expect(await next()).toBe('n 7');
    expect(await send(signedWebhook([event]))).toEqual([200, { handled: 0, repeated: [event.eventId], unknown: [] }]);
    expect((await send({ ...signedWebhook([counted(8)]), body: '{}' }))[0]).toBe(401);
    expect((await send({ method: 'GET' }))[0]).toBe(405);
  } finally {
    child.kill('SIGKILL');
    await ended;
  }
});

test('a route of Next is the handler, called with a request of its own kind and a context', async () => {
  const numbers: unknown[] = [];
  const handler = createWebhookHandler({
    secrets: SECRET,
    dedupe: memoryDedupe(),
    events: { counted: (event: { payload: { n: number } }) => void numbers.push(event.payload.n) },
  });
  /** As Next types what a route exports. */
  const POST: (request: NextRequest, context: { params: Promise<object> }) => Response | Promise<Response> = handler;
  const request = new NextRequest('http://127.0.0.1/api/hook', signedWebhook([counted(7)]));
  const answer = await POST(request, { params: Promise.resolve({}) });
  expect([answer.status, numbers]).toEqual([200, [7]]);
});

/** Next's request is a subclass of fetch's. */
class NextRequest extends Request {
  get nextUrl(): URL {
    return new URL(this.url);
  }
}
