/**
 * Is the destination sick, or one organization?
 *
 * A breaker that counts calls is opened by whoever calls most: one organization whose events time out, with its retries,
 * would cut off all others. So organizations are counted, each by its latest answer within the window. The breaker opens
 * when enough of them were heard, their failing share reaches the rate, and at least two fail: one alone never opens it.
 *
 * At most 4096 organizations are remembered, the ones heard last, which are sample enough for a share. They are
 * remembered by a hash of the id, because an id cut from a row would keep the whole row in memory; two organizations that
 * share a hash count as one.
 */
const MOST_REMEMBERED = 4096;
const FEWEST_FAILING = 2;

export interface HealthLimits {
  /** Failing share, above 0 and up to 1, that opens the breaker. */
  readonly failureRate: number;
  /** Organizations heard before the share counts. */
  readonly minimumOrganizations: number;
  /** Milliseconds for which an answer counts. */
  readonly window: number;
}

interface Heard {
  at: number;
  failing: boolean;
}

export class DestinationHealth {
  readonly #limits: HealthLimits;
  /** Least recently heard first. */
  readonly #heard = new Map<number, Heard>();
  #failing = 0;

  constructor(limits: HealthLimits) {
    this.#limits = limits;
  }

  /** Takes in one answer; true when the breaker is to open. */
  record(organizationId: string, available: boolean, now: number): boolean {
    const key = hashOf(organizationId);
    const heard = this.#take(key) ?? { at: now, failing: false };
    heard.at = now;
    heard.failing = !available;
    this.#heard.set(key, heard);
    if (!available) this.#failing += 1;
    this.#forget(now);
    return !available && this.#sick();
  }

  reset(): void {
    this.#heard.clear();
    this.#failing = 0;
  }

  #sick(): boolean {
    const { failureRate, minimumOrganizations } = this.#limits;
    const heard = this.#heard.size;
    return this.#failing >= FEWEST_FAILING && heard >= minimumOrganizations && this.#failing >= failureRate * heard;
  }

  #take(key: number): Heard | undefined {
    const heard = this.#heard.get(key);
    if (!heard) return undefined;
    this.#heard.delete(key);
    if (heard.failing) this.#failing -= 1;
    return heard;
  }

  #forget(now: number): void {
    for (const [key, { at }] of this.#heard) {
      if (at > now - this.#limits.window && this.#heard.size <= MOST_REMEMBERED) return;
      this.#take(key);
    }
  }
}

export interface ProbeQuestion {
  readonly organization: number;
  /** The organization of the last probe, when that probe failed. */
  readonly suspect: number | undefined;
  /** Another organization was turned away since. */
  readonly othersWait: boolean;
  /** Milliseconds since the breaker is half open. */
  readonly halfOpenFor: number;
  /** Milliseconds for which the others have the first turn. */
  readonly patience: number;
}

/**
 * A half-open breaker lets one batch through. An organization whose probe failed gives way to others for a while: if it
 * fails on its own account, its probes alone would keep the breaker open for everyone.
 */
export function mayProbe({ organization, suspect, othersWait, halfOpenFor, patience }: ProbeQuestion): boolean {
  return organization !== suspect || !othersWait || halfOpenFor >= patience;
}

/** FNV-1a over the characters, 32 bits. */
export function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index++) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  return hash;
}
