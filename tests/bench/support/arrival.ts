/** What `bench:sink-latency` knows of a destination: how walpost is configured for it, and how it tells what has come. */
import { setImmediate } from 'node:timers/promises';
import type { WalpostProcess } from './walpost-process.ts';

export interface ArrivalDestination extends AsyncDisposable {
  readonly sink: Readonly<Record<string, unknown>>;
  readonly config?: Readonly<Record<string, unknown>>;
  /** Options of Node with which walpost's process finds the client. */
  readonly nodeArgs?: readonly string[];
  /** The service takes no more events a second. */
  readonly most?: number;
  /** Called when walpost streams, by those that come to it; ends what listens. */
  readonly listen?: (walpost: WalpostProcess) => Promise<() => void>;
}

/** Called with all that arrives, in any form that leaves letters, digits and `-` alone. */
export type Seen = (text: string) => void;

/** Of the event with this number; it stands in its payload. */
export const markOf = (n: number): string => `mark-${n}-`;
export const MARKS = /mark-(\d+)-/g;

/** As in the payload of each event. */
export const ADDRESS = 'someone@example.com';

/** Organizations that take turns. */
export const ORGANIZATIONS = Array.from(
  { length: 20 },
  (_, n) => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`,
);

/** Tells each item of a list that grows; `grown` resolves when so many are there, or nearly. */
export function follow<T>(list: readonly T[], grown: (count: number) => Promise<void>, tell: (item: T) => void): void {
  void (async () => {
    for (let at = 0; ; at++) {
      await grown(at + 1);
      while (list.length <= at) await setImmediate();
      tell(list[at] as T);
    }
  })();
}
