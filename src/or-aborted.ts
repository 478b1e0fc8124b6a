/** The result of the work, or a rejection with the signal's reason as soon as it aborts. The work itself is not stopped. */
export async function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const race = new AbortRace(signal);
  try {
    return await race.or(work);
  } finally {
    race.end();
  }
}

/** The same for one piece of work after the other: a listener is the most expensive part, and all of them share it. */
export class AbortRace {
  private readonly signal: AbortSignal;
  private reject: (reason: Error) => void = () => undefined;

  constructor(signal: AbortSignal) {
    this.signal = signal;
    if (!signal.aborted) signal.addEventListener('abort', this.abort, { once: true });
  }

  /** One at a time. */
  or<T>(work: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.reject = reject;
      if (this.signal.aborted) this.abort();
      work.then(resolve, reject);
    });
  }

  end(): void {
    this.signal.removeEventListener('abort', this.abort);
  }

  private readonly abort = (): void => {
    const { reason } = this.signal as { reason: unknown };
    this.reject(reason instanceof Error ? reason : new DOMException('aborted', 'AbortError'));
  };
}
