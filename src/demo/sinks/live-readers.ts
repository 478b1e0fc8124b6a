/** Readers of the live channel: one stream for each organization, as one of its pages would open it. */
import { randomBytes } from 'node:crypto';
import { SignJWT } from 'jose';
import { type Clock, pause } from '../../clock.ts';
import { WalpostError } from '../../errors.ts';
import type { Arrival } from '../audit.ts';
import { freePort } from '../free-port.ts';
import { arrivalOf, type DemoPlace, type DemoSink } from './demo-sink.ts';

const RETRY_MS = 100;
const READY_TIMEOUT_MS = 30_000;
/** Longer than any demo. */
const TOKEN_LIFETIME = '2d';

export async function openLive({ organizationIds, clock }: DemoPlace): Promise<DemoSink> {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}/live`;
  const secret = randomBytes(32).toString('hex');
  const arrivals: Arrival[] = [];
  const over = new AbortController();
  const readers: Promise<void>[] = [];
  return {
    options: { type: 'live' },
    sections: { live: { port, secret } },
    statuses: ['shipped'],
    isSequence: true,
    async connect(signal) {
      const following = { clock, signal: AbortSignal.any([signal, over.signal]) };
      const listening = organizationIds.map(async (organizationId) => {
        const token = await tokenFor(organizationId, secret);
        const reader = new LiveReader({ organizationId, url, token, arrivals });
        return new Promise<void>((resolve) => readers.push(reader.follow({ ...following, listening: resolve })));
      });
      const patience = new AbortController();
      const late = pause(clock, READY_TIMEOUT_MS, AbortSignal.any([following.signal, patience.signal]));
      let isReady = false;
      await Promise.race([Promise.all(listening).then(() => (isReady = true)), late]);
      patience.abort();
      if (!isReady && !following.signal.aborted) {
        throw new WalpostError('DEMO_FAILED', { detail: 'The live channel did not take readers.' });
      }
    },
    arrivals: () => Promise.resolve(arrivals),
    async close() {
      over.abort();
      await Promise.all(readers);
    },
  };
}

function tokenFor(organizationId: string, secret: string): Promise<string> {
  return new SignJWT({ organization_id: organizationId })
    .setProtectedHeader({ alg: 'HS256' })
    .setExpirationTime(TOKEN_LIFETIME)
    .sign(new TextEncoder().encode(secret));
}

interface Following {
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Called when the stream has caught up. */
  readonly listening: () => void;
}

interface LiveReaderOptions {
  readonly organizationId: string;
  readonly url: string;
  readonly token: string;
  /** Gets what the reader reads. */
  readonly arrivals: Arrival[];
}

class LiveReader {
  private readonly options: LiveReaderOptions;
  private lastId: string | undefined;

  constructor(options: LiveReaderOptions) {
    this.options = options;
  }

  /** Reads until the signal aborts. A stream that ends is opened again behind its last message. */
  async follow({ clock, signal, listening }: Following): Promise<void> {
    while (!signal.aborted) {
      await this.readOnce(signal, listening).catch(() => undefined);
      await pause(clock, RETRY_MS, signal);
    }
  }

  private async readOnce(signal: AbortSignal, listening: () => void): Promise<void> {
    const { url, token } = this.options;
    const headers = {
      authorization: `Bearer ${token}`,
      ...(this.lastId !== undefined && { 'last-event-id': this.lastId }),
    };
    const response = await fetch(url, { headers, signal });
    if (!response.ok) return;
    const decoder = new TextDecoder();
    let rest = '';
    for await (const part of response.body ?? []) {
      const messages = (rest + decoder.decode(part as Uint8Array, { stream: true })).split('\n\n');
      rest = messages.pop() ?? '';
      for (const message of messages) this.take(message, listening);
    }
  }

  private take(message: string, listening: () => void): void {
    const fields = new Map<string, string>();
    for (const line of message.split('\n')) {
      const colon = line.indexOf(': ');
      if (colon > 0) fields.set(line.slice(0, colon), line.slice(colon + 2));
    }
    this.lastId = fields.get('id') ?? this.lastId;
    const name = fields.get('event') ?? '';
    const data = fields.get('data');
    if (name === 'walpost.live') listening();
    if (data === undefined || name.startsWith('walpost.')) return;
    const { arrivals, organizationId } = this.options;
    arrivals.push({ ...arrivalOf(data), organizationId });
  }
}
