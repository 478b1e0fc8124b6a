/** The live channel of a relay: its listener and its readers live as long as the relay, open while it leads. */
import { type HttpService, listenWhenFree } from '../http/listen-when-free.ts';
import type { Lsn } from '../lsn.ts';
import type { LiveHub } from '../sinks/live/live-hub.ts';
import type { LiveServer } from '../sinks/live/live-server.ts';
import type { RelayDependencies } from './dependencies.ts';
import { LivePast } from './live-past.ts';
import type { LeaderTerm } from './term.ts';

/** For readers who come back. */
const CONNECTIONS = 2;
const WORDS = {
  inUse: 'the port of the live channel is in use: nobody can listen here until it is free',
  free: 'the port of the live channel is free now',
};

export class LiveService implements AsyncDisposable {
  readonly hub: LiveHub;
  private readonly options: RelayDependencies;
  private readonly sink: string;
  private readonly listener: HttpService;

  private constructor(options: RelayDependencies, sink: string, parts: { hub: LiveHub; listener: HttpService }) {
    this.options = options;
    this.sink = sink;
    this.hub = parts.hub;
    this.listener = parts.listener;
  }

  /** Undefined without a sink of type live. Throws HTTP_LISTEN. */
  static async start(options: RelayDependencies): Promise<LiveService | undefined> {
    const { config, clock, log, metrics } = options;
    const sink = Object.keys(config.sinks).find((name) => config.sinks[name]?.type === 'live');
    if (sink === undefined) return undefined;
    const [{ LiveHub }, { LiveServer }] = await Promise.all([
      import('../sinks/live/live-hub.ts'),
      import('../sinks/live/live-server.ts'),
    ]);
    const own = log.child({ sink });
    const hub = new LiveHub({ config: config.live, clock, log: own, watcher: metrics.live });
    const start = (): Promise<LiveServer> => LiveServer.start({ config: config.live, hub, clock, log: own });
    const listener = await listenWhenFree(start, { port: config.live.port, clock, log: own, words: WORDS });
    const { address, port } = listener.address ?? {};
    if (port !== undefined) own.info({ address, port }, 'the live channel listens');
    return new LiveService(options, sink, { hub, listener });
  }

  /** Where it listens; undefined while another process uses the address. */
  get port(): number | undefined {
    return this.listener.address?.port;
  }

  /** Opens the channels until the term is revoked, or what this gives back is disposed. */
  lead(term: LeaderTerm, watermark: () => Lsn): AsyncDisposable {
    const { config, clock } = this.options;
    const { hub, sink } = this;
    const pool = term.openPool('walpost live', CONNECTIONS);
    const past = new LivePast({ config, clock, term, pool, sink });
    const close = (): void => hub.close('not_leader');
    hub.open({
      epoch: term.cursor.epoch,
      position: watermark,
      past: (organizationId, from, signal) => past.read(organizationId, from, signal),
    });
    term.revoked.addEventListener('abort', close, { once: true });
    if (term.revoked.aborted) close();
    return {
      async [Symbol.asyncDispose]() {
        term.revoked.removeEventListener('abort', close);
        close();
        await pool.end();
      },
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.hub.close('stopping');
    await this.listener[Symbol.asyncDispose]();
  }
}
