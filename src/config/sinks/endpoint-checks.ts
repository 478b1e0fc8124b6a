/** What a webhook needs: a URL, or the endpoints of customers, which bring theirs. */
import { parseDuration } from '../units.ts';
import type { SinkProblem } from './sink-checks.ts';

const DISABLE_AFTER_MS = 3 * 24 * 3_600_000;

type Input = Readonly<Record<string, unknown>>;

/** Each belongs to an endpoint itself, or would open what customers must not reach. */
const NOT_BESIDE_ENDPOINTS: Readonly<Record<string, string>> = {
  url: 'does not go together with endpoints: true, which have URLs of their own',
  secret: 'does not go together with endpoints: true, which have secrets of their own',
  preset: 'does not go together with endpoints: true',
};
const NEEDS_ENDPOINTS = 'is for endpoints: true';

/** Takes invalid input too. The path begins below the sink's name. */
export function* endpointProblems(sink: Input): Generator<SinkProblem> {
  if (sink['type'] !== 'webhook') return;
  if (sink['endpoints'] !== true) {
    if (sink['url'] === undefined) {
      yield { path: ['url'], message: 'is missing; or endpoints: true, for the URLs of customers' };
    }
    if (sink['disable_after'] !== undefined) yield { path: ['disable_after'], message: NEEDS_ENDPOINTS };
    if (sink['allow_loopback'] === true) yield { path: ['allow_loopback'], message: NEEDS_ENDPOINTS };
    return;
  }
  for (const [option, message] of Object.entries(NOT_BESIDE_ENDPOINTS)) {
    if (sink[option] !== undefined) yield { path: [option], message };
  }
  if (sink['order'] === 'entity' || sink['order'] === 'none') {
    yield {
      path: ['order'],
      message: 'must be left out beside endpoints: true: each endpoint gets its events in one order',
    };
  }
  if (sink['allow_private'] === true) {
    yield { path: ['allow_private'], message: 'never applies to endpoints, whose URLs customers write' };
  }
}

/** Sinks whose endpoints may be on this machine, with what that means. */
export function loopbackWarnings(
  sinks: Readonly<Record<string, Input>>,
): { readonly path: string[]; readonly message: string }[] {
  return Object.entries(sinks).flatMap(([name, sink]) => {
    if (sink['endpoints'] !== true || sink['allow_loopback'] !== true) return [];
    const message = 'lets every customer send requests to this machine; it is meant for tests and development';
    return [{ path: ['sinks', name, 'allow_loopback'], message }];
  });
}

/** Rows that are pruned could not be sent any more when an endpoint is recovered. */
export function* endpointsOutlivePrune(config: unknown): Generator<SinkProblem & { readonly input: unknown }> {
  const { sinks, prune } = asMap(config);
  const { enabled = true, retention = '72h' } = asMap(prune);
  const kept = millisecondsOf(retention);
  if (enabled !== true || kept === undefined) return;
  for (const [name, value] of Object.entries(asMap(sinks))) {
    const { endpoints, disable_after: after } = asMap(value);
    if (endpoints !== true || (millisecondsOf(after) ?? 0) < kept) continue;
    const message = 'must be below prune.retention: what the endpoint missed is sent from rows that are still there';
    yield { path: ['sinks', name, 'disable_after'], message, input: after };
  }
}

/** After how many milliseconds of failure only an endpoint is disabled; below prune.retention, also where nothing is said. */
export function disableAfter(
  { disable_after: after }: { readonly disable_after?: number | undefined },
  prune: { readonly enabled: boolean; readonly retention: number },
): number {
  if (after !== undefined) return after;
  return prune.enabled && prune.retention <= DISABLE_AFTER_MS ? (prune.retention * 2) / 3 : DISABLE_AFTER_MS;
}

function millisecondsOf(value: unknown): number | undefined {
  if (typeof value === 'string') return parseDuration(value);
  return typeof value === 'number' ? value : undefined;
}

function asMap(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
}
