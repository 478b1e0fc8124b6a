import { logError } from '../log-error.ts';
import { typePattern } from '../type-pattern.ts';

type Pattern = `${string}*${string}`;
type Listener<Detail> = (detail: Detail) => void;

/**
 * Events inside of a page: what makes a toast appear, or a badge count. `Details` maps each type to what is told with it.
 */
export interface EventBus<Details> {
  /** Gives back how to stop. In a pattern `*` stands for any characters. */
  on<Type extends keyof Details & string>(type: Type, listener: Listener<Details[Type]>): () => void;
  on(pattern: Pattern, listener: Listener<Details[keyof Details & string]>): () => void;
  /** Calls everyone whose type or pattern fits, in the order in which they came. */
  emit<Type extends keyof Details & string>(type: Type, detail: Details[Type]): void;
}

export interface EventBusOptions {
  /** What a listener threw; the others are called all the same. console.error when absent. */
  readonly onError?: (error: unknown) => void;
}

export function createEventBus<Details>({ onError = logError }: EventBusOptions = {}): EventBus<Details> {
  type Entry = { readonly fits: (type: string) => boolean; readonly listener: Listener<never> };
  const entries = new Set<Entry>();
  return {
    on: (name: string, listener: Listener<never>) => {
      const entry = { fits: typePattern(name), listener };
      entries.add(entry);
      return () => void entries.delete(entry);
    },
    emit: (type, detail) => {
      // A copy: a listener may stop another one, which is then not called, or start one, which hears of the next event.
      for (const entry of Array.from(entries)) {
        if (!entries.has(entry) || !entry.fits(type)) continue;
        try {
          entry.listener(detail as never);
        } catch (error) {
          onError(error);
        }
      }
    },
  };
}
