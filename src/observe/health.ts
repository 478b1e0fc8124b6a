/** What is known about the process's progress, in milliseconds. */
export interface Vitals {
  /** The longest that the event loop was held up lately. */
  readonly loopLag: number;
  /** Since the relay's loop last turned; null when nothing tells. */
  readonly heartbeatAge: number | null;
}

export interface Health {
  readonly alive: boolean;
  readonly detail: string;
}

/** A restart helps against these, and against nothing less: a server or sink that is away is not a reason. */
export const HEALTH_LIMITS = { loopLag: 10_000, heartbeatAge: 60_000 };

export function assessHealth(vitals: Vitals, limits: typeof HEALTH_LIMITS = HEALTH_LIMITS): Health {
  if (vitals.loopLag > limits.loopLag) {
    return { alive: false, detail: `the event loop was held up for ${Math.round(vitals.loopLag)} ms` };
  }
  if (vitals.heartbeatAge !== null && vitals.heartbeatAge > limits.heartbeatAge) {
    return { alive: false, detail: `the relay has not moved for ${Math.round(vitals.heartbeatAge / 1000)} s` };
  }
  return { alive: true, detail: 'alive' };
}
