/**
 * Whether the destinations of sinks would take deliveries. First a connection, with TLS where the URL says so, by the way
 * that deliveries take (address guard, proxy, authorities); then the login, where a destination has one that can be asked
 * without an event. Nothing is published.
 */
import type { Clock } from '../../clock.ts';
import { RESEND_API } from '../../config/sinks/email.ts';
import type { SinkConfig } from '../../config/sinks/sinks.ts';
import { SLACK_API } from '../../config/sinks/slack.ts';
import type { Config } from '../../config/schema.ts';
import { WalpostError } from '../../errors.ts';
import type { Verdict } from '../../pipeline.ts';
import { verdictOfError } from '../../sinks/http/http-verdict.ts';
import { guardedConnector } from '../../sinks/http/ssrf-guard.ts';
import { wayOf } from '../../sinks/http/way.ts';
import { probeOfSink } from '../../sinks/registry.ts';

export interface SinkProbe {
  readonly sink: string;
  /** host:port, also of several servers; a URL may hold secrets elsewhere. */
  readonly place: string;
  readonly usesProxy: boolean;
  /** A connection was made, and what came after it failed. */
  readonly isConnected: boolean;
  /** Why it would take nothing; undefined when it would. */
  readonly reason: string | undefined;
  /** Why it was not asked; undefined when it was. */
  readonly unasked?: string;
}

/** What the client of Kafka needs. */
const NODE_FOR_KAFKA = 22;
const TIMEOUT_MS = 5_000;

/** Sinks without a network, and those of modules of one's own, are not asked. */
export async function probeSinks(
  { sinks }: Pick<Config, 'sinks'>,
  clock: Clock,
  nodeVersion = Number.parseInt(process.versions.node, 10),
): Promise<SinkProbe[]> {
  const probes = await Promise.all(Object.entries(sinks).map(([name, sink]) => probe(name, sink, clock, nodeVersion)));
  return probes.filter((found) => found !== undefined);
}

async function probe(
  name: string,
  sink: SinkConfig,
  clock: Clock,
  nodeVersion: number,
): Promise<SinkProbe | undefined> {
  const url = httpUrlOf(sink);
  const way = url === undefined ? undefined : await connectionTo(url, sink as HttpSink);
  const place = way?.place ?? placesOf(sink).join(', ');
  const about = { sink: name, place, usesProxy: way?.usesProxy ?? false };
  if (way?.reason !== undefined) return { ...about, isConnected: false, reason: way.reason };
  if (sink.type === 'email' && (sink.provider === 'resend' || sink.dry_run !== undefined)) {
    return way && { ...about, isConnected: true, reason: undefined };
  }
  if (sink.type === 'kafka' && nodeVersion < NODE_FOR_KAFKA) {
    const unasked = `sink ${name} was not asked: the client of Kafka needs Node ${NODE_FOR_KAFKA}, and this is Node ${nodeVersion}`;
    return { ...about, isConnected: false, reason: undefined, unasked };
  }
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  try {
    const verdict = await probeOfSink(sink, { name, clock, signal });
    if (verdict === undefined && way === undefined) return undefined;
    return { ...about, isConnected: way !== undefined, reason: reasonOf(verdict) };
  } catch (error) {
    const reason = error instanceof WalpostError ? error.message : reasonOf(verdictOfError(error));
    return { ...about, isConnected: false, reason };
  }
}

type HttpSink = Parameters<typeof wayOf>[0];

/** Where a sink that speaks HTTP sends to; undefined for all others. */
function httpUrlOf(sink: SinkConfig): URL | undefined {
  if (sink.type === 'webhook') return sink.url === undefined ? undefined : new URL(sink.url);
  if (sink.type === 'realtime') return new URL(sink.url);
  if (sink.type === 'slack') return new URL(sink.url ?? SLACK_API);
  const isResend = sink.type === 'email' && sink.provider === 'resend' && sink.dry_run === undefined;
  return isResend ? new URL(sink.url ?? RESEND_API) : undefined;
}

function placesOf(sink: SinkConfig): string[] {
  if (sink.type === 'kafka') return [...sink.brokers];
  const urls = 'servers' in sink ? sink.servers : 'url' in sink && sink.url !== undefined ? [sink.url] : [];
  return urls.flatMap((url) => (URL.canParse(url) ? [new URL(url).host] : []));
}

interface Way {
  readonly place: string;
  readonly usesProxy: boolean;
  readonly reason: string | undefined;
}

async function connectionTo({ protocol, hostname, host, port }: URL, sink: HttpSink): Promise<Way> {
  const way = wayOf(sink);
  const proxy = way.proxy === undefined ? undefined : new URL(way.proxy);
  const connect = guardedConnector({ ...way, proxy, timeout: TIMEOUT_MS });
  const place = port === '' ? `${host}:${protocol === 'https:' ? 443 : 80}` : host;
  const servername = hostname.replace(/^\[(.*)\]$/, '$1');
  const reason = await new Promise<string | undefined>((resolve) => {
    connect({ protocol, hostname, host, port, ...(protocol === 'https:' && { servername }) }, (error, socket) => {
      socket?.destroy();
      resolve(error ? reasonOf(verdictOfError(error)) : undefined);
    });
  });
  return { place, usesProxy: proxy !== undefined, reason };
}

function reasonOf(verdict: Verdict | undefined): string | undefined {
  return verdict === undefined || verdict.kind === 'delivered' ? undefined : verdict.reason;
}
