/**
 * The customers' endpoints of a relay. What the sinks ask lives as long as the relay. What is known of the endpoints belongs to a
 * connection: it begins with the endpoints of the place where the stream begins, and goes on with their changes.
 */
import type pg from 'pg';
import type { Clock } from '../clock.ts';
import type { Config } from '../config/schema.ts';
import { disableAfter } from '../config/sinks/endpoint-checks.ts';
import type { Lsn } from '../lsn.ts';
import type { EndpointTarget, EndpointTargets } from '../endpoint.ts';
import { EndpointDirectory, type KnownEndpoint } from '../endpoints/directory.ts';
import {
  adoptSettledChanges,
  changesComingAgain,
  endpointsAreOurs,
  endpointsAt,
  endpointsNow,
  streamStart,
} from '../endpoints/endpoint-rows.ts';
import { EndpointDisabling, hostOf } from '../endpoints/disabling.ts';
import { formerNames } from '../endpoints/former-names.ts';
import { LeavingEndpoints } from '../endpoints/leaving.ts';
import { EndpointSecrets } from '../endpoints/secrets.ts';
import type { EndpointShown } from '../observe/failing-log.ts';
import type { Logger } from '../observe/log.ts';
import type { FailingLane, LaneName, LaneRule } from '../pipeline.ts';
import { OWN_TABLE } from '../postgres/own-table.ts';
import type { Router } from '../router/router.ts';
import type { LeaderTerm } from './term.ts';

export interface EndpointServiceOptions {
  readonly config: Pick<Config, 'sinks' | 'prune' | 'source'>;
  readonly clock: Clock;
  readonly log: Logger;
}

/** What one term of leadership has. */
interface Led extends Disposable {
  readonly secrets: EndpointSecrets;
  readonly disabling: EndpointDisabling;
}

export class EndpointService implements EndpointTargets {
  readonly directory: EndpointDirectory;
  private readonly options: EndpointServiceOptions;
  private readonly disableAfter: ReadonlyMap<string, number>;
  private readonly leaving = new LeavingEndpoints();
  /** By endpoint: until there the directory is older than what an earlier connection has parked. */
  private again: ReadonlyMap<string, Lsn> = new Map();
  private led: Led | undefined;
  private held = false;

  constructor(options: EndpointServiceOptions) {
    const { sinks, prune, source } = options.config;
    this.options = options;
    this.directory = new EndpointDirectory(formerNames(sinks), source.table !== OWN_TABLE);
    this.disableAfter = new Map(
      Object.entries(sinks).flatMap(([name, sink]) =>
        sink.type === 'webhook' && sink.endpoints === true ? [[name, disableAfter(sink, prune)] as const] : [],
      ),
    );
  }

  /** Sinks whose events go to endpoints. */
  get sinks(): readonly string[] {
    return [...this.disableAfter.keys()];
  }

  /** Begins a term: what was known before is forgotten. */
  lead({ controlPool: pool }: Pick<LeaderTerm, 'controlPool'>): Disposable {
    const { clock, log } = this.options;
    const { directory } = this;
    const secrets = new EndpointSecrets(pool, clock);
    const disabling = new EndpointDisabling({ pool, directory, clock, log, disableAfter: this.disableAfter });
    const led: Led = {
      secrets,
      disabling,
      [Symbol.dispose]: () => {
        if (this.led === led) this.led = undefined;
        secrets.close();
      },
    };
    this.directory.reset([]);
    this.leaving.clear();
    this.led = led;
    return led;
  }

  /** How a sink chooses its lanes; undefined for one without endpoints. */
  ruleOf(sink: string): LaneRule | undefined {
    if (!this.disableAfter.has(sink)) return undefined;
    const { directory, leaving } = this;
    return {
      lanesFor: (event) => directory.lanesFor(sink, event),
      laneAgain: (_event, before) => before,
      ownDestinations: true,
      isPaused: (lane) => this.held || directory.isPaused(lane),
      // One that was disabled is not flooded with what is still on its way to it.
      rateOf: (lane) => (directory.find(lane) ?? leaving.find(lane))?.maxPerSecond ?? undefined,
    };
  }

  /** The endpoints as they are now, or as a snapshot sees them. */
  async readNow(db: pg.Pool | pg.ClientBase): Promise<void> {
    this.directory.reset(await endpointsNow(db));
    this.again = new Map();
  }

  /** The endpoints of the place where the slot will begin to stream; from there on their changes come in the stream. */
  async readAtStart({ pool, slot }: Pick<LeaderTerm, 'pool' | 'slot'>): Promise<void> {
    const late = await adoptSettledChanges(pool, slot);
    const { log } = this.options;
    if (late > 0) log.warn({ changes: late }, 'changes of endpoints are taken up that an older release has left out');
    const start = await streamStart(pool, slot);
    this.directory.reset(await endpointsAt(pool, slot, start));
    this.again = await changesComingAgain(pool, slot, start);
  }

  /** In a copy of the database nothing is sent to anyone: their events are parked. True when that has changed. */
  async holdInCopy({ pool, server }: Pick<LeaderTerm, 'pool' | 'server'>): Promise<boolean> {
    if (this.sinks.length === 0) return false;
    const before = this.held;
    this.held = !(await endpointsAreOurs(pool, server.systemIdentifier));
    if (this.held !== before) this.tellHeld();
    return this.held !== before;
  }

  /** Nothing is sent to endpoints: the database is a copy. */
  get isHeld(): boolean {
    return this.held;
  }

  private tellHeld(): void {
    const { log } = this.options;
    const remedy = 'Where the customers are meant to get events from here: walpost endpoints adopt.';
    if (this.held)
      log.warn({ remedy }, 'this database is a copy: nothing is sent to endpoints, their events are parked');
    else log.info('endpoints get their events here from now on');
  }

  /** The endpoint of a lane, as logs and the status show it; undefined for a lane of another sink. */
  shownAt({ sink, lane }: Pick<LaneName, 'sink' | 'lane'>): EndpointShown | undefined {
    if (!this.disableAfter.has(sink)) return undefined;
    const url = this.directory.find(lane)?.url;
    return { endpoint: lane, host: url === undefined ? null : hostOf(url) };
  }

  counts(): { readonly enabled: number; readonly paused: number } {
    const counts = { enabled: 0, paused: 0 };
    for (const { sink, state } of this.directory.all()) {
      if (this.disableAfter.has(sink)) counts[state === 'paused' ? 'paused' : 'enabled'] += 1;
    }
    return counts;
  }

  /** A lane of a sink with endpoints whose endpoint is not there any more. */
  hasEnded({ sink, lane }: LaneName): boolean {
    return this.disableAfter.has(sink) && this.directory.find(lane) === undefined;
  }

  /** Where the last change of the endpoint commits that comes again; what is parked for it waits until then. */
  comesAgainAt({ sink, lane }: Pick<LaneName, 'sink' | 'lane'>): Lsn | null {
    return this.disableAfter.has(sink) ? (this.again.get(lane) ?? null) : null;
  }

  async targetOf(endpointId: string): Promise<EndpointTarget | undefined> {
    const endpoint = this.directory.find(endpointId) ?? this.leaving.find(endpointId);
    const { led } = this;
    if (!endpoint || !led) return undefined;
    const { url, headers, secretsVersion } = endpoint;
    return { url, headers, secrets: await led.secrets.of(endpointId, secretsVersion) };
  }

  gone(endpointId: string, committedAt: number | null): void {
    this.led?.disabling.gone(endpointId, committedAt);
  }

  /** Every ten seconds, with what fails; without a sink that has endpoints it is not looked through. */
  async disableFailing(failing: Iterable<FailingLane>): Promise<void> {
    if (this.sinks.length > 0) await this.led?.disabling.round(failing);
  }

  /** It has ended at that place; what was committed before may still be on its way. */
  leaves(endpoint: KnownEndpoint, at: Lsn): void {
    this.leaving.add(endpoint, at);
    this.led?.disabling.ended(endpoint.endpointId);
  }

  /** Every ten seconds: forgets the endpoints that have ended, once nothing more is sent to them. All before `settled` is settled. */
  forgetEnded(settled: Lsn, router: Pick<Router, 'hasLane'>): void {
    for (const id of this.leaving.forgetSettled(settled, (endpoint) => router.hasLane(laneOf(endpoint)))) {
      if (this.directory.find(id) === undefined) this.led?.secrets.forget(id);
    }
  }
}

/** The lane of an endpoint in the router. */
export function laneOf({ sink, organizationId, endpointId }: KnownEndpoint): LaneName {
  return { sink, organizationId, lane: endpointId };
}
