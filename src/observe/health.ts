/** Measurements of the process, in milliseconds. */
export interface Vitals {
  /** The longest recent delay of the event loop. */
  readonly loopLag: number;
}

export interface Health {
  readonly alive: boolean;
  readonly detail: string;
}

/** The process is unhealthy only when its event loop is blocked. A restart does not help against a server or sink that is unavailable. */
export const HEALTH_LIMITS = { loopLag: 10_000 };

export function assessHealth(vitals: Vitals, limits: typeof HEALTH_LIMITS = HEALTH_LIMITS): Health {
  if (vitals.loopLag > limits.loopLag) {
    return { alive: false, detail: `the event loop was blocked for ${Math.round(vitals.loopLag)} ms` };
  }
  return { alive: true, detail: 'alive' };
}
