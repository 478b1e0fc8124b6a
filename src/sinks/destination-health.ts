/**
 * Is the destination sick, or one organization?
 *
 * A breaker that counts calls is opened by whoever calls most: one organization whose events time out, with its retries,
 * would cut off all others. So organizations are counted, each by its latest answer within the window. The breaker opens
 * when enough of them were heard, their failing share reaches the rate, and at least two fail: one alone never opens it.
 *
 * Each has a place in a table of fixed size, found by a hash of its id; of those that share a place the one heard last
 * counts. With many organizations the table is a sample of them, large enough for a share, and an answer costs two writes:
 * there is one for each batch, and with many organizations a batch is hardly more than an event.
 */
const PLACES = 2048;
const FEWEST_FAILING = 2;

export interface HealthLimits {
  /** Failing share, above 0 and up to 1, that opens the breaker. */
  readonly failureRate: number;
  /** Organizations heard before the share counts. */
  readonly minimumOrganizations: number;
  /** Milliseconds for which an answer counts. */
  readonly window: number;
}

export class DestinationHealth {
  readonly #limits: HealthLimits;
  readonly #heardAt = new Float64Array(PLACES).fill(-Infinity);
  readonly #failing = new Uint8Array(PLACES);

  constructor(limits: HealthLimits) {
    this.#limits = limits;
  }

  /** Takes in one answer; true when the breaker is to open. */
  record(organizationId: string, available: boolean, now: number): boolean {
    const place = hashOf(organizationId) & (PLACES - 1);
    this.#heardAt[place] = now;
    this.#failing[place] = available ? 0 : 1;
    return !available && this.#sick(now);
  }

  reset(): void {
    this.#heardAt.fill(-Infinity);
  }

  #sick(now: number): boolean {
    const { failureRate, minimumOrganizations, window } = this.#limits;
    let heard = 0;
    let failing = 0;
    for (let place = 0; place < PLACES; place++) {
      if ((this.#heardAt[place] as number) <= now - window) continue;
      heard += 1;
      failing += this.#failing[place] as number;
    }
    return failing >= FEWEST_FAILING && heard >= minimumOrganizations && failing >= failureRate * heard;
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
