/**
 * Decides whether a destination is failing, or only one organization's events.
 *
 * If the breaker counted calls, one organization whose events time out and are retried could open it for all others. So it
 * counts organizations, each by its latest answer within the window. The breaker opens when enough organizations have an
 * answer, the failing share reaches the rate, and at least two fail. One organization alone never opens it.
 *
 * Each organization has a slot in a table of fixed size, found by a hash of its id. When several share a slot, the latest
 * answer counts. With many organizations the table is a sample, large enough to estimate the share. Recording an answer
 * costs two writes, which matters because with many organizations a batch has hardly more than one event.
 */
const PLACES = 2048;
const FEWEST_FAILING = 2;

export interface HealthLimits {
  /** Failing share, above 0 and up to 1, that opens the breaker. */
  readonly failureRate: number;
  /** Organizations with an answer before the share counts. */
  readonly minimumOrganizations: number;
  /** Milliseconds for which an answer counts. */
  readonly window: number;
}

export class DestinationHealth {
  private readonly limits: HealthLimits;
  private readonly heardAt = new Float64Array(PLACES).fill(-Infinity);
  private readonly failing = new Uint8Array(PLACES);

  constructor(limits: HealthLimits) {
    this.limits = limits;
  }

  /** Records one answer. Returns true when the breaker must open. */
  record(organizationId: string, available: boolean, now: number): boolean {
    const place = hashOf(organizationId) & (PLACES - 1);
    this.heardAt[place] = now;
    this.failing[place] = available ? 0 : 1;
    return !available && this.sick(now);
  }

  reset(): void {
    this.heardAt.fill(-Infinity);
  }

  private sick(now: number): boolean {
    const { failureRate, minimumOrganizations, window } = this.limits;
    let heard = 0;
    let failing = 0;
    for (let place = 0; place < PLACES; place++) {
      if ((this.heardAt[place] as number) <= now - window) continue;
      heard += 1;
      failing += this.failing[place] as number;
    }
    return failing >= FEWEST_FAILING && heard >= minimumOrganizations && failing >= failureRate * heard;
  }
}

export interface ProbeQuestion {
  readonly organization: number;
  /** The organization of the last probe, when that probe failed. */
  readonly suspect: number | undefined;
  /** Another organization has been refused a probe since then. */
  readonly othersWait: boolean;
  /** Milliseconds since the breaker became half open. */
  readonly halfOpenFor: number;
  /** Milliseconds for which the others have priority. */
  readonly patience: number;
}

/**
 * A half-open breaker lets one batch through. An organization whose probe failed yields to others for a while. If only its
 * own events fail, its probes would otherwise keep the breaker open for everyone.
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
