/** How the lanes of one sink are wired to the rest of the router. */
import type { Event } from '../event.ts';
import type { Destination } from '../pipeline.ts';
import type { Alarms } from './alarms.ts';
import type { Burial } from './burial.ts';
import { heldBy } from './lane-parking.ts';
import type { MemoryBudget } from './memory-budget.ts';
import { RateLimiter } from './rate-limiter.ts';
import type { RouterOptions } from './router-options.ts';
import { SinkLanes } from './sink-lanes.ts';
import type { LaneTurn } from './sink-lanes-options.ts';
import type { Windows } from './windows.ts';

/** What all sinks of a router share. */
export interface RouterParts extends Pick<
  RouterOptions,
  'config' | 'clock' | 'lot' | 'random' | 'watcher' | 'askVisible'
> {
  readonly windows: Windows<LaneTurn>;
  readonly alarms: Alarms<LaneTurn>;
  readonly budget: MemoryBudget;
  readonly burial: Burial;
  readonly signal: AbortSignal;
  readonly settle: (events: readonly Event[]) => void;
  readonly onIdle: () => void;
}

export function lanesOf(destination: Destination, parts: RouterParts): SinkLanes {
  const { config, clock, budget, burial, watcher, settle, onIdle } = parts;
  const { batching } = config;
  return new SinkLanes({
    destination,
    lot: parts.lot,
    limits: { maxEvents: batching.max_events, maxBytes: batching.max_bytes },
    window: batching.window,
    leadingEdge: batching.leading_edge,
    ...policyOf(config),
    limiter: limiterOf(destination.name, parts),
    signal: parts.signal,
    now: () => clock.now(),
    schedule: (delay, run) => clock.schedule(delay, run),
    random: parts.random ?? Math.random,
    windows: parts.windows,
    alarms: parts.alarms,
    askVisible: parts.askVisible,
    onWindow: watcher.windowWait,
    onDelivered: (sink, events) => {
      settle(events);
      watcher.delivered(sink, events.length, events[0] as Event);
    },
    onParked: (sink, events) => {
      settle(events);
      watcher.parked(sink, events.length);
      onIdle();
    },
    reserve: () => budget.reserve(2 * batching.max_bytes),
    onRead: (events) => budget.take(heldBy(events)),
    onDropped: (events) => budget.give(heldBy(events)),
    onRejected: (event, rejection, stored) =>
      burial.rejected(event, rejection, () => {
        settle([event]);
        stored();
      }),
    onIdle,
  });
}

function policyOf({ delivery }: RouterOptions['config']) {
  return {
    policy: {
      quickRetries: delivery.quick_retries,
      maxAttempts: delivery.max_attempts,
      backoff: delivery.backoff,
      parkAfter: delivery.park_after,
      unavailableFor: delivery.unavailable_for,
      longestWait: delivery.breaker.reset_after,
    },
    blocks: delivery.on_dead_letter === 'block',
  };
}

function limiterOf(name: string, { config, clock }: RouterParts): RateLimiter | undefined {
  const { rate: sink, organization_rate: organization } = config.sinks[name] ?? {};
  if (sink === undefined && organization === undefined) return undefined;
  return new RateLimiter({ sink, organization }, () => clock.now());
}
