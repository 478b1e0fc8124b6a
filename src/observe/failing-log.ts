/**
 * What the log says of destinations that fail: a line when an organization's deliveries begin to fail, and one when they go
 * on. When many fail at once, the first are named and the rest are counted, in a line each minute. Never a line an event.
 */
import type { Clock } from '../clock.ts';
import type { Logger } from './log.ts';
import type { FailingLane, LaneName } from '../pipeline.ts';
import { destinationRemedy } from './destination-remedy.ts';

/** Lanes of one sink that get lines of their own, in each minute. */
const NAMED_A_MINUTE = 5;
const MANY_EVERY_MS = 60_000;
const FEW_EVERY_MS = 600_000;

/** What is known of a lane that fails. */
interface Known {
  readonly lane: FailingLane;
  /** It had a line of its own. */
  readonly named: boolean;
}

/** A customer's endpoint; the path and the query of its URL may hold a secret. */
export interface EndpointShown {
  readonly endpoint: string;
  readonly host: string | null;
}

interface SinkNews {
  minute: number;
  named: number;
  saidAt: number;
}

export class FailingLog {
  private readonly log: Logger;
  private readonly clock: Clock;
  private known = new Map<string, Known>();
  private readonly news = new Map<string, SinkNews>();
  private counted: ReadonlyMap<string, number> | undefined;
  private readonly endpointOf: (lane: LaneName) => EndpointShown | undefined;

  /** `endpointOf`: the endpoint that a lane belongs to; undefined for a lane of the operator's own sinks. */
  constructor(log: Logger, clock: Clock, endpointOf: FailingLog['endpointOf'] = () => undefined) {
    this.log = log;
    this.clock = clock;
    this.endpointOf = endpointOf;
  }

  /** The lanes that fail now, about once a second. When the list is cut, a lane that is not in it may fail all the same. */
  round(failing: readonly FailingLane[], cut = false, isPaused: (lane: LaneName) => boolean = () => false): void {
    const now = new Map<string, Known>();
    for (const lane of failing) {
      const key = JSON.stringify([lane.sink, lane.organizationId, lane.lane]);
      now.set(key, { lane, named: this.known.get(key)?.named ?? this.begins(lane) });
    }
    for (const [key, known] of this.known) {
      if (now.has(key)) continue;
      if (cut) now.set(key, known);
      else if (!isPaused(known.lane)) this.ends(known); // a pause has a line of its own
    }
    this.known = now;
    this.counted = undefined;
    this.summarize();
  }

  /** The endpoints that failed at the last round. */
  endpoints(): (FailingLane & EndpointShown)[] {
    return [...this.known.values()].flatMap(({ lane }) => {
      const endpoint = this.endpointOf(lane);
      return endpoint ? [{ ...lane, ...endpoint }] : [];
    });
  }

  /**
   * How many organizations of each sink failed at the last round; counted when somebody asks for it first. A failing endpoint
   * is the matter of its customer.
   */
  organizations(): ReadonlyMap<string, number> {
    this.counted ??= this.countOrganizations();
    return this.counted;
  }

  private countOrganizations(): ReadonlyMap<string, number> {
    const bySink = new Map<string, Set<string>>();
    for (const { lane } of this.known.values()) {
      if (this.endpointOf(lane)) continue;
      const found = bySink.get(lane.sink);
      if (found) found.add(lane.organizationId);
      else bySink.set(lane.sink, new Set([lane.organizationId]));
    }
    return new Map([...bySink].map(([sink, found]) => [sink, found.size]));
  }

  /** Another process leads now. */
  forget(): void {
    this.known.clear();
    this.counted = undefined;
    this.news.clear();
  }

  private begins(lane: FailingLane): boolean {
    const news = this.newsOf(lane.sink);
    if (news.named >= NAMED_A_MINUTE) return false;
    news.named += 1;
    const { sink, organizationId, code, reason, attempts } = lane;
    const endpoint = this.endpointOf(lane);
    if (endpoint) {
      const fields = { sink, organizationId, ...endpoint, code, reason, attempts };
      this.log.warn(fields, 'an endpoint of a customer fails: its events wait, in order, and are tried again');
      return true;
    }
    const fields = {
      sink,
      organizationId,
      ...named(lane),
      code,
      reason,
      attempts,
      remedy: destinationRemedy(code, sink),
    };
    this.log.warn(fields, 'deliveries to an organization fail: its events wait, in order, and are tried again');
    return true;
  }

  private ends({ lane, named: wasNamed }: Known): void {
    if (!wasNamed || lane.state === 'refusing') return; // the end of refusing has a line of its own
    const { sink, organizationId, attempts, since } = lane;
    const failedForSeconds = Math.round((this.clock.now() - since) / 1000);
    const where = this.endpointOf(lane) ?? named(lane);
    this.log.info({ sink, organizationId, ...where, attempts, failedForSeconds }, 'deliveries no longer fail');
  }

  private summarize(): void {
    const now = this.clock.now();
    const bySink = new Map<string, FailingLane[]>();
    for (const { lane } of this.known.values()) {
      const lanes = bySink.get(lane.sink);
      if (lanes) lanes.push(lane);
      else bySink.set(lane.sink, [lane]);
    }
    for (const [sink, news] of this.news) {
      const lanes = bySink.get(sink) ?? [];
      const every = lanes.length > NAMED_A_MINUTE ? MANY_EVERY_MS : FEW_EVERY_MS;
      if (lanes.length > 0 && now - news.saidAt < every) continue;
      news.saidAt = now;
      if (lanes.length > 0) this.log.warn(summaryOf(sink, lanes, now), 'deliveries fail');
    }
  }

  private newsOf(sink: string): SinkNews {
    const minute = Math.floor(this.clock.now() / MANY_EVERY_MS);
    let news = this.news.get(sink);
    if (!news) {
      news = { minute, named: 0, saidAt: this.clock.now() };
      this.news.set(sink, news);
    }
    if (news.minute !== minute) Object.assign(news, { minute, named: 0 });
    return news;
  }
}

/** A lane of its own is named; the lane of an organization needs no name. */
function named({ lane }: FailingLane): { readonly lane?: string } {
  return lane === '' ? {} : { lane };
}

function summaryOf(sink: string, lanes: readonly FailingLane[], now: number): object {
  const codes: Record<string, number> = {};
  for (const { code } of lanes) codes[code ?? 'unknown'] = (codes[code ?? 'unknown'] ?? 0) + 1;
  const oldest = Math.min(...lanes.map(({ since }) => since));
  return { sink, lanes: lanes.length, codes, oldestForSeconds: Math.round((now - oldest) / 1000) };
}
