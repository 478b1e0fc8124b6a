/**
 * How many pages of the past one organization may read at once. All organizations share a few connections for them, in the
 * order of asking: without a bound, the thousand readers of one that come back together would stand before everybody. A turn is
 * for one page, so a reader that takes its time with what it has holds up nobody.
 */
export class ScanTurns {
  private readonly most: number;
  /** By organization: the turns that are taken, and who waits for one. */
  private readonly organizations = new Map<string, { taken: number; readonly waiting: (() => void)[] }>();

  constructor(most: number) {
    this.most = most;
  }

  /** The pages of the scan, each read in a turn of the organization; none once the signal has aborted. */
  async *run<T>(organizationId: string, scan: () => AsyncIterable<T>, signal?: AbortSignal): AsyncGenerator<T> {
    const pages = scan()[Symbol.asyncIterator]();
    try {
      for (let page = await this.next(organizationId, pages, signal); page;) {
        yield page.value;
        page = await this.next(organizationId, pages, signal);
      }
    } finally {
      await pages.return?.();
    }
  }

  private async next<T>(
    organizationId: string,
    pages: AsyncIterator<T>,
    signal: AbortSignal | undefined,
  ): Promise<IteratorYieldResult<T> | undefined> {
    await this.take(organizationId);
    try {
      if (signal?.aborted === true) return undefined;
      const page = await pages.next();
      return page.done === true ? undefined : page;
    } finally {
      this.giveBack(organizationId);
    }
  }

  private async take(organizationId: string): Promise<void> {
    const own = this.organizations.get(organizationId) ?? { taken: 0, waiting: [] };
    this.organizations.set(organizationId, own);
    if (own.taken < this.most) own.taken += 1;
    else await new Promise<void>((resolve) => own.waiting.push(resolve)); // with the turn of the one that is done
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
