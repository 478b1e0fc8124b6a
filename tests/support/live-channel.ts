import { type Clock, systemClock } from '../../src/clock.ts';
import { live, type LiveConfig } from '../../src/config/live.ts';
import type { Event } from '../../src/event.ts';
import { LiveHub } from '../../src/sinks/live/live-hub.ts';
import { LiveServer } from '../../src/sinks/live/live-server.ts';
import { createLiveSink } from '../../src/sinks/live/live-sink.ts';
import { PastGoneError, type LiveTerm } from '../../src/sinks/live/live-term.ts';
import type { Sink } from '../../src/pipeline.ts';
import { contractContext } from '../contract/sink-contract.ts';
import { LIVE_SECRET } from './live-reader.ts';

export interface LiveChannelOptions {
  readonly config?: object;
  readonly clock?: Clock;
  readonly term?: Partial<LiveTerm>;
}

/** The listener and its hub, without a relay around them. */
export class LiveChannelFixture implements AsyncDisposable {
  readonly hub: LiveHub;
  readonly sink: Sink;
  readonly config: LiveConfig;
  /** Why streams have ended, and how those began that caught up. */
  readonly ended: string[] = [];
  readonly resumed: string[] = [];
  readonly warnings: string[] = [];
  server: LiveServer | undefined;
  private watching: (() => void)[] = [];

  private constructor({ config = {}, clock = systemClock }: LiveChannelOptions) {
    this.config = live.parse({ port: 0, secret: LIVE_SECRET, ...config });
    const log = {
      ...contractContext.log,
      warn: (fields: object, text: string) => this.warnings.push(JSON.stringify([fields, text])),
    };
    const watcher = {
      liveConnections: () => this.tell(),
      liveSent: () => undefined,
      liveEnded: (reason: string) => this.tell(this.ended, reason),
      liveResumed: (way: string) => this.tell(this.resumed, way),
    };
    this.hub = new LiveHub({ config: this.config, clock, log, watcher });
    this.sink = createLiveSink({ type: 'live', concurrency: 1 }, { ...contractContext, channels: this.hub });
  }

  static async start(options: LiveChannelOptions = {}): Promise<LiveChannelFixture> {
    const channel = new LiveChannelFixture(options);
    const { hub, config } = channel;
    channel.server = await LiveServer.start({
      config,
      hub,
      clock: options.clock ?? systemClock,
      log: contractContext.log,
    });
    channel.lead(options.term);
    return channel;
  }

  lead(term: Partial<LiveTerm> = {}): void {
    this.hub.open({ epoch: 7n, position: () => 16n, past: () => nothing(), ...term });
  }

  get port(): number {
    return this.server?.address.port ?? 0;
  }

  async until(isTrue: () => boolean): Promise<void> {
    while (!isTrue()) await new Promise<void>((resolve) => this.watching.push(resolve));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.hub.close('stopping');
    await this.server?.[Symbol.asyncDispose]();
  }

  private tell(list?: string[], text = ''): void {
    list?.push(text);
    for (const resolve of this.watching.splice(0)) resolve();
  }
}

async function* nothing(): AsyncGenerator<readonly Event[]> {
  yield await Promise.reject(new PastGoneError('no table'));
}
