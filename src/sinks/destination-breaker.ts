/**
 * The circuit breaker of one destination.
 *
 *   closed      every batch passes; DestinationHealth decides when to open
 *   open        nothing passes for `resetAfter`
 *   half_open   one batch passes as the probe: answered, the breaker closes; unavailable, it opens again
 *
 * opossum keeps the state, the rest and the single probe. Its own statistics count calls, where organizations are to be
 * counted, so they never open it (`volumeThreshold`), and batches pass it by while it is closed. A batch that left before
 * the breaker opened says nothing about a later state: its answer is not counted (`#term`).
 */
import CircuitBreaker from 'opossum';
import type { Clock } from '../clock.ts';
import { DestinationHealth, hashOf, mayProbe } from './destination-health.ts';

export type BreakerState = 'closed' | 'open' | 'half_open';

/** How the destination did: undefined when the attempt was stopped from outside and says nothing. */
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
  readonly #options: BreakerOptions;
  readonly #health: DestinationHealth;
  readonly #circuit: CircuitBreaker<[() => Promise<T>], T>;
  #term = 0;
  /** When the present state began. */
  #since = 0;
  #suspect: number | undefined;
  #othersWait = false;

  constructor(options: BreakerOptions) {
    this.#options = options;
    this.#health = new DestinationHealth({ ...options, window: WINDOW });
    this.#circuit = new CircuitBreaker(probe<T>, {
      timeout: false,
      resetTimeout: Math.min(options.resetAfter, LONGEST_TIMER),
      volumeThreshold: Number.MAX_SAFE_INTEGER,
      rollingPercentilesEnabled: false,
      enableSnapshots: false,
    });
    this.#circuit.on('open', () => this.#entered('open'));
    this.#circuit.on('halfOpen', () => this.#entered('half_open'));
    this.#circuit.on('close', () => this.#entered('closed'));
  }

  get state(): BreakerState {
    if (this.#circuit.opened) return 'open';
    return this.#circuit.halfOpen ? 'half_open' : 'closed';
  }

  /** Lets the attempt run and takes its answer in; undefined when the breaker keeps it back. */
  async run(organizationId: string, attempt: () => Promise<T>): Promise<T | undefined> {
    if (!this.#circuit.closed) return this.#probe(hashOf(organizationId), attempt);
    const term = this.#term;
    const result = await attempt();
    if (result.available !== undefined && term === this.#term) {
      const sick = this.#health.record(organizationId, result.available, this.#options.clock.now());
      if (sick) this.#circuit.open();
    }
    return result;
  }

  /** Milliseconds after which a batch that was kept back may ask again. */
  get retryAfter(): number {
    const { clock, resetAfter } = this.#options;
    if (this.#circuit.opened) return Math.max(1, Math.ceil(this.#since + resetAfter - clock.now()));
    return Math.min(1000, resetAfter);
  }

  close(): void {
    this.#circuit.shutdown();
  }

  async #probe(organization: number, attempt: () => Promise<T>): Promise<T | undefined> {
    const { clock, resetAfter } = this.#options;
    const allowed =
      this.#circuit.pendingClose &&
      mayProbe({
        organization,
        suspect: this.#suspect,
        othersWait: this.#othersWait,
        halfOpenFor: clock.now() - this.#since,
        patience: resetAfter,
      });
    if (!allowed) {
      if (organization !== this.#suspect) this.#othersWait = true;
      return undefined;
    }
    this.#othersWait = false;
    try {
      return await this.#circuit.fire(attempt);
    } catch (error) {
      this.#suspect = organization;
      if (error instanceof ProbeFailed) return error.attempt as T;
      throw error;
    }
  }

  #entered(state: BreakerState): void {
    this.#term += 1;
    this.#since = this.#options.clock.now();
    this.#health.reset();
    if (state === 'closed') {
      this.#suspect = undefined;
      this.#othersWait = false;
    }
    this.#options.onState(state);
  }
}

/** A probe that was stopped from outside failed too: otherwise the breaker would wait for its answer for ever. */
async function probe<T extends Attempt>(attempt: () => Promise<T>): Promise<T> {
  const result = await attempt();
  if (!result.available) throw new ProbeFailed(result);
  return result;
}
