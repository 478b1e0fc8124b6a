/**
 * What one filter is given. The clock is looked at between the parts of a template and never within a filter, so the size of
 * what a filter takes bounds how long it lasts. The slowest for their size are `where` and `find`, which make a scope for each
 * value, and `url_encode`: at these bounds they take some hundred milliseconds.
 */
import type { FilterImplOptions } from 'liquidjs';

type FilterHandler = Extract<FilterImplOptions, (...given: never[]) => unknown>;

/** Values, whatever holds them: lists, what is in them, and in that. */
const MOST_VALUES = 50_000;
/** Characters of their texts. */
const MOST_CHARACTERS = 1024 ** 2;

export const TOO_LARGE = 'a filter is given too much';

/** These take as long for a large value as for a small one, or are charged for what they write. */
const UNBOUNDED = new Set(['append', 'default', 'first', 'json', 'last', 'prepend', 'size']);

export function boundFilters(filters: Record<string, FilterImplOptions>): void {
  for (const [name, filter] of Object.entries(filters)) if (!UNBOUNDED.has(name)) filters[name] = bounded(filter);
}

function bounded(filter: FilterImplOptions): FilterImplOptions {
  return typeof filter === 'function' ? boundHandler(filter) : { ...filter, handler: boundHandler(filter.handler) };
}

function boundHandler(handler: FilterHandler): FilterHandler {
  return function (...given) {
    if (!new Allowance().covers(given)) throw new Error(TOO_LARGE);
    return handler.apply(this, given) as unknown;
  };
}

class Allowance {
  private values = MOST_VALUES;
  private characters = MOST_CHARACTERS;

  /** Looks no further than to the first value that is too much. */
  covers(value: unknown): boolean {
    this.values -= 1;
    if (typeof value === 'string') this.characters -= value.length;
    if (this.values < 0 || this.characters < 0) return false;
    if (typeof value !== 'object' || value === null) return true;
    if (Array.isArray(value)) return value.length <= this.values && value.every((each) => this.covers(each));
    for (const name in value) if (!this.covers((value as Record<string, unknown>)[name])) return false;
    return true;
  }
}
