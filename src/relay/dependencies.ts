/** What a relay is given by its process, and what it gives to each of its connections. */
import type { Clock } from '../clock.ts';
import type { Config } from '../config/schema.ts';
import type { MessageRefusal } from '../emit-key.ts';
import type { Origin } from '../event.ts';
import type { Logger } from '../observe/log.ts';
import type { Metrics } from '../observe/metrics.ts';
import type { DeliveryTraces } from '../observe/tracing/delivery-traces.ts';
import type { Destination, FailingLane, LaneName } from '../pipeline.ts';
import type { CaptureWatch } from '../postgres/schema/captures.ts';
import type { RoleModelWatch } from '../postgres/schema/role-model.ts';
import type { RouterWatcher } from '../router/router-options.ts';
import type { EndpointService } from './endpoint-service.ts';
import type { LeaderTerm } from './term.ts';

/** From the process: once, for as long as it runs. */
export interface RelayDependencies {
  readonly config: Config;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly clock: Clock;
  readonly traces?: DeliveryTraces | undefined;
}

/** For one connection: the term it belongs to, and what outlives it. */
export interface RelayOptions extends Omit<RelayDependencies, 'metrics'> {
  readonly term: LeaderTerm;
  readonly sinks: readonly Destination[];
  readonly endpoints: EndpointService;
  readonly watcher: RelayWatcher;
  readonly roleModel: RoleModelWatch;
  readonly captures: CaptureWatch;
}

/** Is told what the stages do, in numbers. */
export interface RelayWatcher extends RouterWatcher {
  /** A transaction with events or poison rows has been received: how many they are. */
  received(count: number, origin: Origin): void;
  /** Milliseconds from the question whether transactions can be seen to the snapshot that sees some of them. */
  visibilityWait(ms: number): void;
  /** Periodic work failed, and will be tried again. */
  choreFailed(chore: string): void;
  /** A logical message was refused: it does not become an event. */
  refused(reason: MessageRefusal): void;
  /** The lanes that fail now, once a second; cut: there may be more. A lane that is paused does not fail. */
  failing(lanes: readonly FailingLane[], cut: boolean, isPaused: (lane: LaneName) => boolean): void;
}
