/**
 * Something for each lane of one sink. The own lanes of organizations stand in a map of their own, so that where an
 * organization has no other, a lane is found by one look at one text.
 */
import { OWN_LANE } from '../../pipeline.ts';

export class LaneMap<T> {
  private readonly own = new Map<string, T>();
  private readonly others = new Map<string, Map<string, T>>();
  private count = 0;

  get size(): number {
    return this.own.size + this.count;
  }

  get(organizationId: string, name: string): T | undefined {
    return name === OWN_LANE ? this.own.get(organizationId) : this.others.get(organizationId)?.get(name);
  }

  set(organizationId: string, name: string, value: T): void {
    if (name === OWN_LANE) {
      this.own.set(organizationId, value);
      return;
    }
    let named = this.others.get(organizationId);
    if (!named) this.others.set(organizationId, (named = new Map()));
    if (!named.has(name)) this.count += 1;
    named.set(name, value);
  }

  delete(organizationId: string, name: string): void {
    if (name === OWN_LANE) {
      this.own.delete(organizationId);
      return;
    }
    const named = this.others.get(organizationId);
    if (named?.delete(name) !== true) return;
    this.count -= 1;
    if (named.size === 0) this.others.delete(organizationId);
  }

  /** Each of values(); for what looks at all of a hundred thousand lanes, since a generator takes three times as long. */
  forEach(visit: (value: T) => void): void {
    this.own.forEach(visit);
    this.others.forEach((named) => named.forEach(visit));
  }

  *values(): Generator<T> {
    yield* this.own.values();
    for (const named of this.others.values()) yield* named.values();
  }

  /** All that the organization has; copied, since whoever asks may change them. */
  ofOrganization(organizationId: string): readonly T[] {
    const own = this.own.get(organizationId);
    return [...(own === undefined ? [] : [own]), ...(this.others.get(organizationId)?.values() ?? [])];
  }

  /** How many it has beside its own. */
  othersOf(organizationId: string): number {
    return this.others.get(organizationId)?.size ?? 0;
  }
}
