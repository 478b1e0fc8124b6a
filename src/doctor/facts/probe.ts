/**
 * Whether the destinations of sinks can be reached: a connection, with TLS where the URL says so, by the way that deliveries
 * take (address guard, proxy, authorities). Nothing is sent on it.
 */
import type { SinkConfig, SinkConfigOf } from '../../config/sinks/sinks.ts';
import type { Config } from '../../config/schema.ts';
import { verdictOfError } from '../../sinks/http/http-verdict.ts';
import { guardedConnector } from '../../sinks/http/ssrf-guard.ts';
import { wayOf } from '../../sinks/http/way.ts';

export interface SinkProbe {
  readonly sink: string;
  /** host:port; a URL may hold secrets elsewhere. */
  readonly place: string;
  readonly usesProxy: boolean;
  /** Why it cannot be reached; undefined when it can. */
  readonly reason: string | undefined;
}

const TIMEOUT_MS = 5_000;

type HttpSink = SinkConfigOf<'webhook'> | SinkConfigOf<'realtime'>;

const isHttp = (sink: SinkConfig): sink is HttpSink => sink.type === 'webhook' || sink.type === 'realtime';

/** Sinks without a network are always reached. */
export function probeSinks({ sinks }: Pick<Config, 'sinks'>): Promise<SinkProbe[]> {
  const asked = Object.entries(sinks).flatMap(([name, sink]) => (isHttp(sink) ? [probe(name, sink)] : []));
  return Promise.all(asked);
}

async function probe(name: string, sink: HttpSink): Promise<SinkProbe> {
  const { protocol, hostname, host, port } = new URL(sink.url);
  const way = wayOf(sink);
  const proxy = way.proxy === undefined ? undefined : new URL(way.proxy);
  const connect = guardedConnector({ ...way, proxy, timeout: TIMEOUT_MS });
  const place = port === '' ? `${host}:${protocol === 'https:' ? 443 : 80}` : host;
  const servername = hostname.replace(/^\[(.*)\]$/, '$1');
  const reason = await new Promise<string | undefined>((resolve) => {
    connect({ protocol, hostname, host, port, ...(protocol === 'https:' && { servername }) }, (error, socket) => {
      socket?.destroy();
      resolve(error ? reasonOf(error) : undefined);
    });
  });
  return { sink: name, place, usesProxy: proxy !== undefined, reason };
}

function reasonOf(error: unknown): string {
  const verdict = verdictOfError(error);
  return verdict.kind === 'delivered' ? '' : verdict.reason;
}
