import { type Clock, pause } from '../clock.ts';
import type { DemoRecord } from './demo-record.ts';

/** Resolves when all committed events have arrived, when nothing arrives for too long, or when the signal aborts. */
export async function waitForDelivery(
  record: DemoRecord,
  { clock, signal, patienceMs }: { clock: Clock; signal: AbortSignal; patienceMs: number },
): Promise<void> {
  const patience = new AbortController();
  let lastArrival = clock.now();
  const arrived = (): void => {
    lastArrival = clock.now();
    if (record.delivered >= record.committed) patience.abort();
  };
  record.on('arrival', arrived);
  try {
    const either = AbortSignal.any([signal, patience.signal]);
    if (record.delivered >= record.committed) return;
    for (;;) {
      const left = lastArrival + patienceMs - clock.now();
      if (left <= 0 || either.aborted) return;
      await pause(clock, left, either);
    }
  } finally {
    record.off('arrival', arrived);
  }
}
