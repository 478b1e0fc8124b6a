/** How the lanes of one sink are wired to the rest of the router. */
import type { Destination, LaneRule } from '../../pipeline.ts';
import type { TimerHeap } from '../timing/timer-heap.ts';
import type { DeadLetterWriter } from './dead-letters.ts';
import { RouterAccounts } from './sink-accounts.ts';
import { modeOf } from './departure.ts';
import { Expiry } from './expiry.ts';
import { LANE_RULES, type Order } from './lane-rule.ts';
import type { MemoryBudget } from '../memory-budget.ts';
import { RateLimiter } from '../timing/rate-limiter.ts';
import type { RouterOptions } from '../router-options.ts';
import { SinkLanes } from './sink-lanes.ts';
import type { LaneTurn } from './sink-lanes-options.ts';

/** Of a lane whose destination is its own: nobody else finds out sooner that it is back. */
const LONGEST_WAIT_ALONE_MS = 60_000;

/** What all sinks of a router share. */
export interface RouterParts extends Pick<
  RouterOptions,
  'config' | 'clock' | 'lot' | 'random' | 'watcher' | 'askVisible' | 'failure'
> {
  readonly timers: TimerHeap<LaneTurn>;
  readonly budget: MemoryBudget;
  readonly deadLetterWriter: DeadLetterWriter;
  readonly signal: AbortSignal;
  readonly onIdle: () => void;
}

export function lanesOf(destination: Destination, parts: RouterParts): SinkLanes {
  const { config, clock, lot, timers, watcher, signal, failure, askVisible, onIdle } = parts;
  const maxBytes = config.batching.max_bytes;
  const order = config.sinks[destination.name]?.order ?? 'organization';
  const rule = destination.laneRule ?? LANE_RULES[order];
  const accounts = new RouterAccounts({ ...parts, sink: destination.name, maxBytes });
  return new SinkLanes({
    destination,
    rule,
    order,
    lot,
    ...batchingOf(destination.name, config),
    ...policyOf(config, order, rule),
    expiry: new Expiry(parts.config.sinks[destination.name]?.max_age, parts.clock),
    limiter: limiterOf(destination.name, rule, parts),
    signal,
    failure,
    clock,
    random: parts.random ?? Math.random,
    timers,
    accounts,
    watcher,
    askVisible,
    onIdle,
  });
}

/** The sink's own settings, or those of all sinks. */
function batchingOf(name: string, config: RouterOptions['config']) {
  const { batching, sinks } = config;
  const { window = batching.window, max_events: maxEvents = batching.max_events } = sinks[name] ?? {};
  return { window, limits: { maxEvents, maxBytes: batching.max_bytes }, mode: modeOf(name, config) };
}

function policyOf(
  { delivery }: RouterOptions['config'],
  order: Order,
  { ownDestinations = false }: Pick<LaneRule, 'ownDestinations'>,
) {
  return {
    policy: {
      quickRetries: delivery.quick_retries,
      maxAttempts: delivery.max_attempts,
      backoff: delivery.backoff,
      parkAfter: delivery.park_after,
      unavailableFor: ownDestinations ? 0 : delivery.unavailable_for,
      longestWait: Math.max(delivery.breaker.reset_after, ownDestinations ? LONGEST_WAIT_ALONE_MS : 0),
    },
    blocks: delivery.on_dead_letter === 'block' && order !== 'none', // a lane without an order waits for nobody
  };
}

function limiterOf(name: string, rule: LaneRule, { config, clock }: RouterParts): RateLimiter | undefined {
  const { rate: sink, organization_rate: organization } = config.sinks[name] ?? {};
  const lane = rule.rateOf?.bind(rule);
  if (sink === undefined && organization === undefined && lane === undefined) return undefined;
  return new RateLimiter({ sink, organization, lane }, () => clock.now());
}
