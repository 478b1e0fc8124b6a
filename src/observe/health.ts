/** What is known about the process's progress, in milliseconds. */
export interface Vitals {
  /** The longest that the event loop was held up lately. */
  readonly loopLag: number;
}

export interface Health {
  readonly alive: boolean;
  readonly detail: string;
}

/** A restart helps against a loop that stands still, and against nothing less: a server or sink that is away is no reason. */
export const HEALTH_LIMITS = { loopLag: 10_000 };

export function assessHealth(vitals: Vitals, limits: typeof HEALTH_LIMITS = HEALTH_LIMITS): Health {
  if (vitals.loopLag > limits.loopLag) {
    return { alive: false, detail: `the event loop was held up for ${Math.round(vitals.loopLag)} ms` };
  }
  return { alive: true, detail: 'alive' };
}
