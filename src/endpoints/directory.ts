/**
 * Which endpoints there are, as the stream has brought their changes: who gets an event, and who is paused.
 *
 * A change takes effect at the commit of its transaction. Transactions arrive in commit order, so an event meets exactly the
 * endpoints of its moment, whenever the stream is read.
 */
import type { Endpoint, EndpointChange } from '../endpoint.ts';
import type { Event } from '../event.ts';
import { compilePattern } from '../pattern.ts';
import { ENDPOINT_ENTITY, ENDPOINT_TEST_TYPE, isReserved } from '../reserved.ts';

/** What chooses the endpoints of an event. */
export type AddressedFields = Pick<Event, 'organizationId' | 'eventType' | 'entityType' | 'entityId'>;

/** An endpoint as it is now. */
export interface KnownEndpoint extends Endpoint {
  /** Of the last change that is known. */
  readonly changeId: string;
  /** Of the last change of its secrets: another one says that they are to be read again. */
  readonly secretsVersion: string;
}

interface Types {
  readonly eventTypes: readonly string[];
  readonly wants: (eventType: string) => boolean;
}

type Entry = KnownEndpoint & Types;

/** Maximum of different lists of patterns that are kept to be shared. */
const MOST_SHARED = 1_000;

/** What a change did to an endpoint. */
export type EndpointTransition = 'paused' | 'resumed' | 'ended' | 'same';

const NO_LANES: readonly string[] = [];
const NO_HEADERS: Readonly<Record<string, string>> = {};

export class EndpointDirectory {
  private entries = new Map<string, Entry>();
  /** By sink and organization; an organization has few. */
  private owners = new Map<string, readonly Entry[]>();
  /** By their patterns, as JSON. */
  private readonly types = new Map<string, Types>();
  /** What the configuration calls a sink now that the rows name as it was called before. */
  private readonly renamed: ReadonlyMap<string, string>;
  private readonly isMapped: boolean;

  /** `isMapped`: the events come from a table of the application, and none of them is a test of an endpoint. */
  constructor(renamed: ReadonlyMap<string, string> = new Map(), isMapped = false) {
    this.renamed = renamed;
    this.isMapped = isMapped;
  }

  /** Begins anew with these, whatever was known. */
  reset(endpoints: Iterable<KnownEndpoint>): void {
    this.entries = new Map();
    this.owners = new Map();
    for (const endpoint of endpoints) if (isThere(endpoint)) this.put(endpoint);
  }

  /** The transaction of the change has ended: what comes behind it meets the endpoint as it is now. */
  apply({ changeId, endpoint, renewsSecrets }: EndpointChange): EndpointTransition {
    const before = this.find(endpoint.endpointId);
    if (before) this.remove(before);
    if (!isThere(endpoint)) return 'ended';
    const secretsVersion = before && !renewsSecrets ? before.secretsVersion : changeId;
    this.put({ ...endpoint, changeId, secretsVersion });
    return transition(before, endpoint);
  }

  /** The endpoints of the sink that get the event, by their ids; none when its organization has none that wants it. */
  lanesFor(sink: string, event: AddressedFields): readonly string[] {
    if (event.eventType === ENDPOINT_TEST_TYPE && !this.isMapped) return this.testedBy(sink, event);
    const entries = this.owners.get(ownerKey(sink, event.organizationId));
    if (!entries) return NO_LANES;
    return entries.filter(({ wants }) => wants(event.eventType)).map(({ endpointId }) => endpointId);
  }

  /** Undefined when it is disabled, or is not there. */
  find(endpointId: string): KnownEndpoint | undefined {
    return this.entries.get(endpointId);
  }

  isPaused(endpointId: string): boolean {
    return this.find(endpointId)?.state === 'paused';
  }

  all(): Iterable<KnownEndpoint> {
    return this.entries.values();
  }

  private testedBy(sink: string, { organizationId, entityType, entityId }: AddressedFields): readonly string[] {
    if (entityType !== ENDPOINT_ENTITY || entityId === null) return NO_LANES;
    const endpoint = this.find(entityId);
    return endpoint?.sink === sink && endpoint.organizationId === organizationId ? [entityId] : NO_LANES;
  }

  /** There may be a hundred thousand, so texts that are equal are held once. */
  private put(given: KnownEndpoint): void {
    const { endpointId, url, maxPerSecond, state, changeId, secretsVersion } = given;
    const { eventTypes, wants } = this.typesOf(given);
    const sinkNow = this.renamed.get(given.sink) ?? given.sink;
    const key = ownerKey(sinkNow, given.organizationId);
    const others = this.owners.get(key) ?? [];
    const sink = others[0]?.sink ?? sinkNow;
    const organizationId = others[0]?.organizationId ?? given.organizationId;
    const headers = Object.keys(given.headers).length === 0 ? NO_HEADERS : given.headers;
    const entry: Entry = {
      endpointId,
      sink,
      organizationId,
      url,
      eventTypes,
      headers,
      maxPerSecond,
      state,
      changeId,
      secretsVersion,
      wants,
    };
    this.entries.set(endpointId, entry);
    this.owners.set(key, others.concat(entry));
  }

  /** Most endpoints of an application have one of a few lists of patterns: they share it. */
  private typesOf({ eventTypes }: Endpoint): Types {
    const key = JSON.stringify(eventTypes);
    const known = this.types.get(key);
    if (known) return known;
    if (this.types.size >= MOST_SHARED) this.types.clear();
    const types = { eventTypes, wants: compileTypes(eventTypes) };
    this.types.set(key, types);
    return types;
  }

  private remove({ endpointId, sink, organizationId }: Endpoint): void {
    const key = ownerKey(sink, organizationId);
    const left = (this.owners.get(key) ?? []).filter((entry) => entry.endpointId !== endpointId);
    this.entries.delete(endpointId);
    if (left.length > 0) this.owners.set(key, left);
    else this.owners.delete(key);
  }
}

function isThere({ state }: Endpoint): boolean {
  return state === 'enabled' || state === 'paused';
}

function transition(before: Endpoint | undefined, { state }: Endpoint): EndpointTransition {
  if (state === before?.state) return 'same';
  if (state === 'paused') return 'paused';
  return before?.state === 'paused' ? 'resumed' : 'same';
}

/** No wildcard takes events of walpost itself: a pattern names them from its beginning. */
function compileTypes(patterns: readonly string[]): (eventType: string) => boolean {
  const tests = patterns.map((pattern) => ({ ours: isReserved(pattern), matches: compilePattern(pattern) }));
  return (eventType) => {
    const ours = isReserved(eventType);
    return tests.some((test) => test.ours === ours && test.matches(eventType));
  };
}

/** A uuid has no blank. */
function ownerKey(sink: string, organizationId: string): string {
  return `${organizationId} ${sink}`;
}
