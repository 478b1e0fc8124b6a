/**
 * Endpoints: places that an organization has asked for itself, at a sink with `endpoints: true`. Each is a lane of its
 * organization at that sink, and its id is the name of the lane.
 *
 * The rows of walpost.endpoint_changes come in the stream, in the order of commits. So an endpoint gets the events that
 * commit after the change that made or enabled it, and none that commit after the one that ended it.
 */
import type { Origin } from './event.ts';

/** Any other text that a row holds counts as paused: a release that does not know a state must not send, and loses nothing. */
export type EndpointState = 'enabled' | 'paused' | 'disabled' | 'removed';

export interface Endpoint {
  readonly endpointId: string;
  readonly sink: string;
  readonly organizationId: string;
  readonly url: string;
  /** Patterns, as those of routes. */
  readonly eventTypes: readonly string[];
  readonly headers: Readonly<Record<string, string>>;
  /** Events a second; null is no limit. */
  readonly maxPerSecond: number | null;
  readonly state: EndpointState;
}

/** One row of walpost.endpoint_changes: the endpoint as it is from the commit of this transaction on. */
export interface EndpointChange {
  readonly kind: 'endpoint_change';
  /** A number, which grows with each change of an endpoint. */
  readonly changeId: string;
  /** Its secrets are others now. */
  readonly renewsSecrets: boolean;
  readonly endpoint: Endpoint;
  readonly origin: Origin;
}

/** Where an endpoint is reached now. */
export interface EndpointTarget {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  /** The newest first; an older one while it is being replaced. */
  readonly secrets: readonly string[];
}

/** What the sink asks of the endpoints. */
export interface EndpointTargets {
  /** Undefined when there is no such endpoint, or it is disabled. Rejects when its secrets cannot be read. */
  targetOf(endpointId: string, signal: AbortSignal): Promise<EndpointTarget | undefined>;
  /** It has answered that it is gone for good, to an event of that time: milliseconds since 1970, null when that is unknown. */
  gone(endpointId: string, committedAt: number | null): void;
}

/** The state that a row of walpost.endpoint_changes says. */
export function endpointState(change: string, state: string): EndpointState {
  if (change === 'removed') return 'removed';
  return state === 'enabled' || state === 'disabled' ? state : 'paused';
}

/** Further headers, as the rows have them. Of the JSON only the members that are text: the functions let no others in. */
export function headerTexts(json: string): Readonly<Record<string, string>> {
  try {
    const parsed: unknown = JSON.parse(json);
    if (typeof parsed !== 'object' || parsed === null) return {};
    const texts = Object.entries(parsed).filter((entry): entry is [string, string] => typeof entry[1] === 'string');
    return Object.fromEntries(texts);
  } catch {
    return {};
  }
}
