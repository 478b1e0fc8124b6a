import type { Clock } from '../clock.ts';
import type { Ledger } from '../ack/ledger.ts';
import type { EndpointFeed } from '../endpoints/feed.ts';
import type { Event, Origin } from '../event.ts';
import type { Lsn } from '../lsn.ts';
import type { CanaryArrivals } from '../parking/canary-arrivals.ts';
import type { Decoder, FrameHandler } from '../pipeline.ts';
import { CANARY_TYPE } from '../reserved.ts';
import type { Router } from '../router/router.ts';
import type { VisibilityGate } from '../router/timing/visibility-gate.ts';
import type { RelayWatcher } from './dependencies.ts';
import type { LeaderJobs } from './leader-jobs.ts';

export interface StreamConsumerOptions {
  readonly decoder: Decoder;
  readonly ledger: Ledger;
  readonly visibility: VisibilityGate;
  readonly router: Router;
  readonly jobs: LeaderJobs;
  /** null: a table of the application has none. */
  readonly canaries: CanaryArrivals | null;
  readonly endpoints: EndpointFeed;
  readonly watcher: RelayWatcher;
  readonly clock: Clock;
}

/** Decodes each frame of the stream and hands what it means to the ledger, the visibility gate and the router. */
export class StreamConsumer implements FrameHandler {
  private readonly options: StreamConsumerOptions;
  private received = 0;
  private origin: Origin | undefined;

  constructor(options: StreamConsumerOptions) {
    this.options = options;
  }

  data(payload: Buffer): void {
    const { options } = this; // each step reads only what it needs: this runs for every message of the stream
    const step = options.decoder.decode(payload);
    switch (step?.kind) {
      case 'begin':
        step.origin.receivedAt = options.clock.now(); // the decoder has opened its ticket in the ledger
        this.origin = step.origin;
        return options.visibility.begin(step.origin);
      case 'event':
        this.received += 1;
        if (step.eventType === CANARY_TYPE) this.canaryArrived(step);
        return options.router.accept(step);
      case 'poison':
        this.received += 1;
        return options.router.acceptPoison(step);
      case 'endpoint_change':
        return options.endpoints.arrived(step);
      case 'commit':
        options.endpoints.committed(); // before its ticket is closed
        options.ledger.commit(step.endLsn);
        options.router.passed(step.endLsn);
        if (this.received > 0) this.receivedAll();
        return;
      case undefined:
    }
  }

  private canaryArrived(canary: Event): void {
    const { canaries } = this.options;
    if (!canaries) return;
    canary.origin.carriesCanary = true;
    canaries.arrived(canary);
  }

  private receivedAll(): void {
    const { jobs, watcher } = this.options;
    jobs.received();
    if (this.origin) watcher.received(this.received, this.origin);
    this.received = 0;
  }

  keepalive(serverEnd: Lsn): void {
    const { ledger, router } = this.options;
    ledger.keepalive(serverEnd);
    router.passed(serverEnd);
  }
}
