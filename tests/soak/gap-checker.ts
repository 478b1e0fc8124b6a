/**
 * Every number of every organization at one sink: what is lost, repeated, or overtaken at its first delivery.
 *
 * One writer counts the events of an organization up, in the order of its commits, so the numbers say that order.
 */
export interface Findings {
  readonly delivered: number;
  readonly lost: number;
  readonly outOfOrder: number;
  readonly duplicates: number;
  /** Arrived, but was never committed. */
  readonly phantoms: number;
}

interface OrganizationSeen {
  readonly numbers: Set<number>;
  highest: number;
}

/** Enough to find the place in the logs. */
const EXAMPLES = 20;

export class GapChecker {
  /** One line for each of the first things that went wrong. */
  readonly examples: string[] = [];
  distinct = 0;
  private readonly sink: string;
  private readonly organizations = new Map<string, OrganizationSeen>();
  private duplicates = 0;
  private outOfOrder = 0;

  constructor(sink: string) {
    this.sink = sink;
  }

  /** True when it is there for the first time. */
  arrive(organization: string, number: number): boolean {
    let seen = this.organizations.get(organization);
    if (!seen) this.organizations.set(organization, (seen = { numbers: new Set(), highest: 0 }));
    if (seen.numbers.has(number)) {
      this.duplicates += 1;
      return false;
    }
    seen.numbers.add(number);
    this.distinct += 1;
    if (number < seen.highest) {
      this.outOfOrder += 1;
      this.note(`${this.sink} ${organization}: ${number} came after ${seen.highest}, at ${new Date().toISOString()}`);
    } else seen.highest = number;
    return true;
  }

  check(committed: ReadonlyMap<string, ReadonlySet<number>>): Findings {
    let lost = 0;
    let expected = 0;
    for (const [organization, numbers] of committed) {
      const seen = this.organizations.get(organization)?.numbers;
      for (const number of numbers) {
        expected += 1;
        if (seen?.has(number)) continue;
        lost += 1;
        this.note(`${this.sink} ${organization}: ${number} never came`);
      }
    }
    const { duplicates, outOfOrder, distinct } = this;
    const delivered = expected - lost;
    return { delivered, lost, outOfOrder, duplicates, phantoms: distinct - delivered };
  }

  private note(line: string): void {
    if (this.examples.length < EXAMPLES) this.examples.push(line);
  }
}
