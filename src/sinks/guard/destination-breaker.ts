/**
 * The circuit breaker of one destination.
 *
 *   closed      every batch passes; DestinationHealth decides when to open
 *   open        nothing passes for `resetAfter`
 *   half_open   one batch passes as the probe: unavailable, which a 5xx answer is too, the breaker opens again; else it closes
 *
 * opossum keeps the state, the waiting time and the single probe. Its own statistics count calls instead of organizations,
 * so `volumeThreshold` keeps them from opening it, and batches bypass it while it is closed. A batch that was sent before
 * the breaker opened says nothing about a later state, so its answer is not counted (`term`).
 */
import CircuitBreaker from 'opossum';
import type { Clock } from '../../clock.ts';
import { DestinationHealth, hashOf, mayProbe } from './destination-health.ts';

export type BreakerState = 'closed' | 'open' | 'half_open';

/** `available` is undefined when the attempt was stopped from outside and so proves nothing. */
interface Attempt {
  readonly available: boolean | undefined;
}

export interface BreakerOptions {
  readonly failureRate: number;
  readonly minimumOrganizations: number;
  /** Milliseconds. */
  readonly resetAfter: number;
  readonly clock: Clock;
  readonly onState: (state: BreakerState) => void;
}

const WINDOW = 10_000;
const LONGEST_TIMER = 2 ** 31 - 1;

class ProbeFailed<T> extends Error {
  readonly attempt: T;

  constructor(attempt: T) {
    super('the probe failed');
    this.attempt = attempt;
  }
}

export class DestinationBreaker<T extends Attempt> {
  private readonly options: BreakerOptions;
  private readonly health: DestinationHealth;
  private readonly circuit: CircuitBreaker<[() => Promise<T>], T>;
  /** Counts the changes of state. */
  private term = 0;
  /** When the present state began. */
  private since = 0;
  private suspect: number | undefined;
  private othersWait = false;

  constructor(options: BreakerOptions) {
    this.options = options;
    this.health = new DestinationHealth({ ...options, window: WINDOW });
    this.circuit = new CircuitBreaker(probe<T>, {
      timeout: false,
      resetTimeout: Math.min(options.resetAfter, LONGEST_TIMER),
      volumeThreshold: Number.MAX_SAFE_INTEGER,
      rollingPercentilesEnabled: false,
      enableSnapshots: false,
    });
    this.circuit.on('open', () => this.entered('open'));
    this.circuit.on('halfOpen', () => this.entered('half_open'));
    this.circuit.on('close', () => this.entered('closed'));
  }

  get state(): BreakerState {
    if (this.circuit.opened) return 'open';
    return this.circuit.halfOpen ? 'half_open' : 'closed';
  }

  /** Runs the attempt and records its answer. Undefined when the breaker does not let it pass. */
  async run(organizationId: string, attempt: () => Promise<T>): Promise<T | undefined> {
    if (!this.circuit.closed) return this.probe(hashOf(organizationId), attempt);
    const term = this.term;
    const result = await attempt();
    if (result.available !== undefined && term === this.term) {
      const sick = this.health.record(organizationId, result.available, this.options.clock.now());
      if (sick) this.circuit.open();
    }
    return result;
  }

  /** Milliseconds after which a batch that did not pass may try again. */
  get retryAfter(): number {
    const { clock, resetAfter } = this.options;
    if (this.circuit.opened) return Math.max(1, Math.ceil(this.since + resetAfter - clock.now()));
    return Math.min(1000, resetAfter);
  }

  close(): void {
    this.circuit.shutdown();
  }

  private async probe(organization: number, attempt: () => Promise<T>): Promise<T | undefined> {
    const { clock, resetAfter } = this.options;
    const allowed =
      this.circuit.pendingClose &&
      mayProbe({
        organization,
        suspect: this.suspect,
        othersWait: this.othersWait,
        halfOpenFor: clock.now() - this.since,
        patience: resetAfter,
      });
    if (!allowed) {
      if (organization !== this.suspect) this.othersWait = true;
      return undefined;
    }
    this.othersWait = false;
    try {
      return await this.circuit.fire(attempt);
    } catch (error) {
      this.suspect = organization;
      if (error instanceof ProbeFailed) return error.attempt as T;
      throw error;
    }
  }

  private entered(state: BreakerState): void {
    this.term += 1;
    this.since = this.options.clock.now();
    this.health.reset();
    if (state === 'closed') {
      this.suspect = undefined;
      this.othersWait = false;
    }
    this.options.onState(state);
  }
}

/** A probe that was stopped from outside counts as failed. Otherwise the breaker would wait for its answer forever. */
async function probe<T extends Attempt>(attempt: () => Promise<T>): Promise<T> {
  const result = await attempt();
  if (!result.available) throw new ProbeFailed(result);
  return result;
}
