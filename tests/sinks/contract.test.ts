import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Writable } from 'node:stream';
import type { SinkConfigOf } from '../../src/config/sinks/sinks.ts';
import { sinkSchema } from '../../src/config/sinks/sinks.ts';
import { createDiscardSink } from '../../src/sinks/discard/discard-sink.ts';
import { createStreamSink } from '../../src/sinks/stdout/stdout-sink.ts';
import { createWebhookSink } from '../../src/sinks/webhook/webhook-sink.ts';
import { contractContext, describeSinkContract, type SinkHarness } from '../contract/sink-contract.ts';
import { WebhookReceiver } from '../support/webhook-receiver.ts';

const nothing = (): Promise<void> => Promise.resolve();

describeSinkContract('discard', async () => ({
  sink: createDiscardSink(),
  received: () => Promise.resolve(null),
  hang: () => Promise.resolve(false),
  asked: nothing,
  fail: () => Promise.resolve(false),
  released: nothing,
  secrets: [],
  [Symbol.asyncDispose]: nothing,
}));

/** `cat` stands at the other end of a pipe of the operating system: stopped it hangs, killed it breaks the pipe. */
class PipeHarness implements SinkHarness {
  readonly #reader: ChildProcess = spawn('cat', { stdio: ['pipe', 'pipe', 'ignore'] });
  readonly #pipe = this.#reader.stdin as Writable;
  readonly #chunks: Buffer[] = [];
  readonly #ended = once(this.#reader, 'close');
  readonly secrets = [];
  readonly sink = createStreamSink(this.#pipe);

  constructor() {
    this.#reader.stdout?.on('data', (chunk: Buffer) => this.#chunks.push(chunk));
  }

  async received(): Promise<Buffer> {
    this.#reader.kill('SIGCONT');
    this.#pipe.end();
    await this.#ended;
    return Buffer.concat(this.#chunks);
  }

  hang(): Promise<boolean> {
    this.#reader.kill('SIGSTOP');
    this.#pipe.write('#'.repeat(2_000_000));
    return Promise.resolve(true);
  }

  async asked(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
  }

  async fail(): Promise<boolean> {
    this.#reader.kill('SIGKILL');
    await once(this.#reader, 'exit');
    return true;
  }

  async released(): Promise<void> {
    if (this.#pipe.listenerCount('error') > 0) throw new Error('the sink still listens');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#pipe.on('error', () => {});
    this.#reader.kill('SIGKILL');
    await this.#ended;
  }
}

describeSinkContract('stdout', async () => new PipeHarness());

const SECRETS = {
  path: '/hooks/4f9d2c7a81b6',
  secret: 'whsec_c2VjcmV0LW9mLXRoZS1yZWNlaXZlcg==',
  token: 'Bearer t0ken-0f-the-r3ceiver',
};

async function webhook(options: Partial<SinkConfigOf<'webhook'>>): Promise<SinkHarness> {
  const receiver = await WebhookReceiver.start();
  const config = sinkSchema.parse({
    type: 'webhook',
    url: receiver.url(`${SECRETS.path}?key=${SECRETS.token.slice(7)}`),
    secret: SECRETS.secret,
    headers: { authorization: SECRETS.token },
    allow_private: true,
    ...options,
  });
  return {
    sink: createWebhookSink(config as SinkConfigOf<'webhook'>, contractContext),
    received: () => Promise.resolve(Buffer.concat(receiver.requests.map(({ body }) => body))),
    hang: () => {
      receiver.otherwise = { kind: 'hang' };
      return Promise.resolve(true);
    },
    asked: async () => void (await receiver.received(1)),
    fail: () => {
      receiver.otherwise = { kind: 'echo', status: 500 };
      return Promise.resolve(true);
    },
    released: () => receiver.abandoned(),
    secrets: [...Object.values(SECRETS), SECRETS.secret.slice(6), SECRETS.token.slice(7), '"n": 1', '\\"n\\": 1'],
    [Symbol.asyncDispose]: () => receiver[Symbol.asyncDispose](),
  };
}

describeSinkContract('webhook', () => webhook({}));
describeSinkContract('webhook, one event a request', () => webhook({ batch: false }));
describeSinkContract('webhook, CloudEvents', () => webhook({ format: 'cloudevents' }));
describeSinkContract('webhook, CloudEvents one by one', () => webhook({ format: 'cloudevents', batch: false }));
