/**
 * How many scans of the past one organization may have under way at once. All organizations share a few connections for them,
 * in the order of asking: without a bound, the thousand readers of one that come back together would stand before everybody.
 */
export class ScanTurns {
  private readonly most: number;
  /** By organization: the turns that are taken, and who waits for one. */
  private readonly organizations = new Map<string, { taken: number; readonly waiting: (() => void)[] }>();

  constructor(most: number) {
    this.most = most;
  }

  /** Runs the scan in a turn of the organization, and gives the turn back when the scan ends or nobody reads it any more. */
  async *run<T>(organizationId: string, scan: () => AsyncIterable<T>): AsyncGenerator<T> {
    await this.take(organizationId);
    try {
      yield* scan();
    } finally {
      this.giveBack(organizationId);
    }
  }

  private async take(organizationId: string): Promise<void> {
    const own = this.organizations.get(organizationId) ?? { taken: 0, waiting: [] };
    this.organizations.set(organizationId, own);
    if (own.taken < this.most) own.taken += 1;
    else await new Promise<void>((resolve) => own.waiting.push(resolve)); // with the turn of the one that ends
  }

  private giveBack(organizationId: string): void {
    const own = this.organizations.get(organizationId);
    if (!own) return;
    const next = own.waiting.shift();
    if (next) return next();
    own.taken -= 1;
    if (own.taken === 0) this.organizations.delete(organizationId);
  }
}
