/** How the lanes of one sink are wired to the rest of the router. */
import type { Destination } from '../../pipeline.ts';
import type { TimerHeap } from '../timing/timer-heap.ts';
import type { DeadLetterWriter } from './dead-letters.ts';
import { RouterAccounts } from './sink-accounts.ts';
import type { MemoryBudget } from '../memory-budget.ts';
import { RateLimiter } from '../timing/rate-limiter.ts';
import type { RouterOptions } from '../router-options.ts';
import { SinkLanes } from './sink-lanes.ts';
import type { LaneTurn } from './sink-lanes-options.ts';
import type { Windows } from '../timing/windows.ts';

/** What all sinks of a router share. */
export interface RouterParts extends Pick<
  RouterOptions,
  'config' | 'clock' | 'lot' | 'random' | 'watcher' | 'askVisible' | 'failure'
> {
  readonly windows: Windows<LaneTurn>;
  readonly timers: TimerHeap<LaneTurn>;
  readonly budget: MemoryBudget;
  readonly deadLetterWriter: DeadLetterWriter;
  readonly signal: AbortSignal;
  readonly onIdle: () => void;
}

export function lanesOf(destination: Destination, parts: RouterParts): SinkLanes {
  const { config, clock, lot, windows, timers, watcher, signal, failure, askVisible, onIdle } = parts;
  const { batching } = config;
  const accounts = new RouterAccounts({ ...parts, sink: destination.name, maxBytes: batching.max_bytes });
  return new SinkLanes({
    destination,
    lot,
    limits: { maxEvents: batching.max_events, maxBytes: batching.max_bytes },
    window: batching.window,
    leadingEdge: batching.leading_edge,
    ...policyOf(config),
    limiter: limiterOf(destination.name, parts),
    signal,
    failure,
    clock,
    random: parts.random ?? Math.random,
    windows,
    timers,
    accounts,
    watcher,
    askVisible,
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
